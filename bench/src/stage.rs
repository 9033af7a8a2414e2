//! One driver's store, with what the workloads find there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use plywood_archive::digest::Digest;
use plywood_graph::{MountTarget, Reference, Store};
use plywood_graphdriver::MountRequest;

use crate::BenchError;
use crate::image::{self, Image};
use crate::size::Size;

/// Makes a store with the driver of that name in a folder that is not there yet, or opens one that is.
pub type Opener<'a> = dyn Fn(&str, &Path) -> Result<Store, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// The images that all drivers get.
#[derive(Debug)]
pub struct Images {
    working: Image,
    deep: Vec<(usize, Image)>,
}

impl Images {
    /// Makes the images of a size: those with so many layers as workloads ask for.
    ///
    /// # Errors
    /// Those of packing them.
    pub fn make(size: &Size, depths: &[usize]) -> Result<Self, BenchError> {
        let failed = BenchError::file("make image", Path::new("in memory"));
        let made = || -> std::io::Result<Self> {
            let mut deep = Vec::new();
            for layers in depths.iter().filter(|layers| **layers > 0 && **layers <= size.most_layers) {
                deep.push((*layers, image::deep(*layers, &deep_name(*layers)?)?));
            }
            Ok(Self { working: image::working(size, &name("bench/work:1")?)?, deep })
        };
        made().map_err(failed)
    }
}

fn name(text: &str) -> std::io::Result<Reference> {
    text.parse().map_err(std::io::Error::other)
}

fn deep_name(layers: usize) -> std::io::Result<Reference> {
    name(&format!("bench/layers-{layers}:1"))
}

/// One driver's store, with what the workloads find there.
pub struct Stage<'a> {
    /// The driver's name.
    pub driver: String,
    /// How much there is to do.
    pub size: Size,
    /// The store that most workloads use; it has all images.
    pub store: Store,
    folder: PathBuf,
    images: &'a Images,
    opener: &'a Opener<'a>,
    made: usize,
    readers: Vec<PathBuf>,
    /// The store that the last pull made.
    pub(crate) pulled: Option<PathBuf>,
    mounted: Vec<(Store, PathBuf)>,
}

impl std::fmt::Debug for Stage<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Stage")
            .field("driver", &self.driver)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A container with its tree mounted.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) layer: plywood_graphdriver::LayerId,
    pub(crate) tree: PathBuf,
}

impl<'a> Stage<'a> {
    /// Makes the store of a driver in a new folder and imports the images that it can take.
    ///
    /// # Errors
    /// `Open` where the driver does not work here.
    pub fn open(
        driver: &str,
        folder: &Path,
        size: Size,
        images: &'a Images,
        opener: &'a Opener<'a>,
    ) -> Result<Self, BenchError> {
        make_folder(folder)?;
        let open = |source| BenchError::Open { driver: driver.to_owned(), source };
        let store = opener(driver, &folder.join("store")).map_err(open)?;
        let most = store.driver().capabilities().max_depth;
        let import = |image: &Image| {
            store.import_image(&image.plan, image, &()).map_err(BenchError::store("import image")).map(drop)
        };
        import(&images.working)?;
        for (layers, image) in &images.deep {
            if most.is_none_or(|most| *layers <= most + 1) {
                import(image)?;
            }
        }
        Ok(Self {
            driver: driver.to_owned(),
            size,
            store,
            folder: folder.to_owned(),
            images,
            opener,
            made: 0,
            readers: Vec::new(),
            pulled: None,
            mounted: Vec::new(),
        })
    }

    /// Counts what is made: no name and no content comes twice.
    pub(crate) fn next(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    /// The name of the working image.
    pub(crate) fn image(&self) -> String {
        self.images.working.plan.names[0].to_string()
    }

    /// The diff ids of the working image, the lowest layer's first.
    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        self.images.working.plan.layers.iter().map(|layer| layer.diff_id).collect()
    }

    /// Imports the working image into a new store, and answers how long that took.
    pub(crate) fn pull(&mut self) -> Result<f64, BenchError> {
        let number = self.next();
        let folder = self.folder.join(format!("pulled-{number}"));
        let driver = self.driver.clone();
        let open = |source| BenchError::Open { driver, source };
        let store = (self.opener)(&self.driver, &folder).map_err(open)?;
        let image = &self.images.working;
        let took =
            timed(|| store.import_image(&image.plan, image, &()).map_err(BenchError::store("import image")))?;
        self.pulled = Some(folder);
        Ok(took)
    }

    /// Makes a container of the working image, not mounted.
    pub(crate) fn container(&mut self) -> Result<(String, plywood_graphdriver::LayerId), BenchError> {
        let name = format!("container-{}", self.next());
        let image = self.image();
        let record = self
            .store
            .create_container(Some(&image), Some(&name))
            .map_err(BenchError::store("create container"))?;
        Ok((name, record.layer))
    }

    /// Makes a container of the working image and mounts it.
    pub(crate) fn mounted(&mut self) -> Result<Container, BenchError> {
        let (name, layer) = self.container()?;
        let tree = self.mount(MountTarget::Container(&name), &MountRequest::read_write())?;
        Ok(Container { name, layer, tree })
    }

    /// Mounts something of the store; what is still mounted in the end is unmounted then.
    pub(crate) fn mount(
        &mut self,
        what: MountTarget<'_>,
        request: &MountRequest<'_>,
    ) -> Result<PathBuf, BenchError> {
        let record = self.store.mount(what, request, None).map_err(BenchError::store("mount"))?;
        self.mounted.push((self.store.clone(), record.target.clone()));
        Ok(record.target)
    }

    /// Unmounts what [`mount`](Self::mount) mounted.
    pub(crate) fn unmount(&mut self, tree: &Path) -> Result<(), BenchError> {
        self.store.unmount(&tree.to_string_lossy()).map_err(BenchError::store("unmount"))?;
        self.mounted.retain(|(_, target)| target != tree);
        Ok(())
    }

    /// The tree of one of the containers that are only read from.
    pub(crate) fn reader(&mut self, number: usize) -> Result<PathBuf, BenchError> {
        while self.readers.len() <= number {
            let container = self.mounted()?;
            self.readers.push(container.tree);
        }
        Ok(self.readers[number].clone())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for (store, target) in &self.mounted {
            if let Err(error) = store.unmount(&target.to_string_lossy()) {
                tracing::warn!(%error, target = %target.display(), "a mount of the bench stays");
            }
        }
    }
}

/// How long something takes, in seconds.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T, BenchError>) -> Result<f64, BenchError> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

#[allow(clippy::disallowed_methods, reason = "a folder of the bench's own")]
fn make_folder(path: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(path).map_err(BenchError::file("make folder", path))
}
