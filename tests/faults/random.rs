//! Numbers that look random, and are the same again for the same seed.

/// xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The seed that the environment names, or always the same one: what fails is of the change, and not of chance.
    pub fn told(what: &str) -> Self {
        let seed = crate::number("PLYWOOD_FAULTS_SEED", 2026) as u64;
        println!("{what}: PLYWOOD_FAULTS_SEED={seed}");
        Self::new(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).unwrap()
    }

    pub fn one_of<T: Clone>(&mut self, of: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.into_iter().collect();
        (!all.is_empty()).then(|| all[self.below(all.len())].clone())
    }
}
