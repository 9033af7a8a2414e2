//! Layers' tars out of their recipes.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use plywood_archive::recipe;
use plywood_graphdriver::{ApplyOptions, Contents, DriverResult, Ownership, Resettle};
use plywood_tree::ContentsFiles;

/// The tar that a recipe and a layer's contents give.
pub(crate) fn rebuild(recipe: &Path, contents: &Contents, scratch: &Path) -> Vec<u8> {
    let scratch = plywood_tree::resolve::open_root(scratch).unwrap();
    let mut files = ContentsFiles::new(contents, scratch.as_fd());
    let mut tar = Vec::new();
    recipe::rebuild(&mut || Ok(Box::new(std::fs::File::open(recipe)?)), &mut files, &mut tar).unwrap();
    tar
}

/// Unpacks a layer a second time from its recipe, once.
pub(crate) struct Again {
    /// The file that has the recipe, and then the new one.
    pub recipe: PathBuf,
    /// A folder for what the rebuilding spools.
    pub scratch: PathBuf,
    /// Whose the files are.
    pub ownership: Ownership,
    /// How often it was asked.
    pub times: u32,
}

impl Resettle for Again {
    fn again(
        &mut self,
        contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.times += 1;
        assert_eq!(self.times, 1, "a layer is unpacked again once");
        let tar = rebuild(&self.recipe, contents, &self.scratch);
        let mut recipe = Vec::new();
        let mut options = ApplyOptions::new(self.ownership);
        options.recipe = Some(&mut recipe);
        apply(&mut &tar[..], options)?;
        std::fs::write(&self.recipe, recipe).unwrap();
        Ok(())
    }
}
