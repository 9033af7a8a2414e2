//! Names for containers that were given none: `brisk_alder`.

use crate::GraphError;
use crate::random::random_bytes;

const MANNERS: [&str; 48] = [
    "amber", "ample", "brave", "bright", "brisk", "broad", "calm", "candid", "clear", "clever", "cosy",
    "crisp", "daring", "deft", "eager", "earnest", "fair", "fond", "frank", "gentle", "glad", "golden",
    "grand", "happy", "hardy", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry",
    "mild", "modest", "neat", "noble", "patient", "plain", "proud", "quick", "quiet", "ready", "serene",
    "steady", "sunny", "warm", "witty",
];

const WOODS: [&str; 48] = [
    "acacia", "alder", "almond", "apple", "ash", "aspen", "balsa", "bamboo", "beech", "birch", "boxwood",
    "cedar", "cherry", "chestnut", "cork", "cypress", "ebony", "elder", "elm", "fir", "ginkgo", "gum",
    "hazel", "hemlock", "hickory", "holly", "hornbeam", "juniper", "larch", "laurel", "linden", "locust",
    "mahogany", "maple", "myrtle", "oak", "olive", "palm", "pear", "pine", "plane", "plum", "poplar",
    "rowan", "spruce", "teak", "walnut", "willow",
];

/// A name by chance; it may be taken.
pub(crate) fn random_name() -> Result<String, GraphError> {
    let [first, second] = random_bytes::<2>()?;
    // The remainder favours the first 16 words a little, which does no harm to a name.
    let manner = MANNERS[usize::from(first) % MANNERS.len()];
    let wood = WOODS[usize::from(second) % WOODS.len()];
    Ok(format!("{manner}_{wood}"))
}
