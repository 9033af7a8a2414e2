//! Sealing a layer, and unpacking it a second time where only its parents tell where files belong.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use plywood_graphdriver::{ApplyOptions, Contents, DriverError, DriverResult, LayerRef, Resettle};

use crate::GraphError;
use crate::delete::NEW_RECIPE;
use crate::rebuild;
use crate::store::Inner;

const BUFFER_BYTES: usize = 256 << 10;

impl Inner {
    /// Seals a layer; its parents are sealed.
    pub(crate) fn seal(&self, layer: LayerRef<'_>) -> Result<(), GraphError> {
        let mut resettling = Resettling { inner: self, layer, has_new_recipe: false };
        self.driver.seal(layer, Some(&mut resettling))?;
        if resettling.has_new_recipe {
            let name = layer.id.as_str();
            self.recipes.rename(&format!("{name}{NEW_RECIPE}"), name)?;
        }
        Ok(())
    }
}

struct Resettling<'a> {
    inner: &'a Inner,
    layer: LayerRef<'a>,
    /// The new recipe is written; it counts once the driver has sealed the layer.
    has_new_recipe: bool,
}

impl Resettle for Resettling<'_> {
    /// The tar is rebuilt as a whole before the driver touches the tree that it is rebuilt from.
    fn again(
        &mut self,
        contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()> {
        let failed = |error: GraphError| error.into_driver_error("settle").on(self.layer.id);
        let system = |error| DriverError::system("settle", error).on(self.layer.id);
        let mut tar = self.inner.scratch().map_err(failed)?;
        let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut tar);
        rebuild::rebuild(self.inner, self.layer.id, contents, &mut buffered).map_err(failed)?;
        buffered.flush().map_err(system)?;
        drop(buffered);
        tar.seek(SeekFrom::Start(0)).map_err(system)?;

        let new_name = format!("{}{NEW_RECIPE}", self.layer.id);
        let recipe = self.inner.recipes.create_file(&new_name).map_err(failed)?;
        let mut recipe = BufWriter::with_capacity(BUFFER_BYTES, recipe);
        let options = self.inner.apply_options(&mut recipe);
        apply(&mut BufReader::with_capacity(BUFFER_BYTES, tar), options)?;
        recipe.flush().map_err(system)?;
        self.has_new_recipe = true;
        Ok(())
    }
}
