//! The object store: a local folder, S3, Google Cloud Storage or Azure, under one URL.
//!
//! A file is put under a name that no file has, and is on stable storage when that returns. Every wait has a
//! limit.

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use clickwire_process::failpoint;
use futures_util::TryStreamExt as _;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, local::LocalFileSystem,
    parse_url_opts, path::Path,
};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::error::Unavailable;

/// The longest time for putting or getting one file; the longest file has some 100 MB.
const PATIENCE: Duration = Duration::from_secs(120);

/// The files of the lake; cheap to clone.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// First part of every location: the lake's URL without a slash at its end.
    base: String,
    /// First part of the store's own names.
    prefix: Path,
    /// The folder of a local store.
    folder: Option<PathBuf>,
}

impl Objects {
    /// The store at `url`; `options` are the provider's, such as `aws_access_key_id`.
    pub(crate) fn open(url: &Url, options: Vec<(String, String)>) -> anyhow::Result<Self> {
        let base = url.as_str().trim_end_matches('/').to_owned();
        if url.scheme() == "file" {
            let folder = url.to_file_path().ok().context("CLICKWIRE_LAKE_URL: not a path of this machine")?;
            // Made again whenever a file is put: the folder may be on a volume that is not there yet.
            let store = Arc::new(LocalFileSystem::new());
            let prefix = Path::from_absolute_path(&folder).context("CLICKWIRE_LAKE_URL")?;
            return Ok(Self { store, base, prefix, folder: Some(folder) });
        }
        let (store, prefix) = parse_url_opts(url, options).context("CLICKWIRE_LAKE_URL")?;
        Ok(Self { store: store.into(), base, prefix, folder: None })
    }

    /// The location of the file called `name`.
    pub(crate) fn location(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// The store's own name of a file at a location.
    fn path(&self, location: &str) -> Path {
        let name = location.strip_prefix(self.base.as_str()).unwrap_or(location);
        Path::from(format!("{}/{}", self.prefix, name.trim_start_matches('/')))
    }

    /// Puts a file where none is.
    pub(crate) async fn put(&self, location: &str, content: Bytes) -> Result<(), Unavailable> {
        if failpoint::is_hit("lake_store_slow") {
            sleep(PATIENCE / 20).await;
        }
        if failpoint::is_hit("lake_store_full") {
            let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
            return Err(object_store::Error::Generic { store: "failpoint", source }.into());
        }
        let path = self.path(location);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(&path, PutPayload::from_bytes(content), options);
        timeout(PATIENCE, put).await.map_err(|_| Unavailable::Slow)??;
        if self.folder.is_some() {
            let file = PathBuf::from(format!("/{path}"));
            let synced = tokio::task::spawn_blocking(move || sync(&file)).await;
            let synced = synced.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            synced.map_err(|source| object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// Removes a file.
    pub(crate) async fn delete(&self, location: &str) -> Result<(), Unavailable> {
        let path = self.path(location);
        Ok(timeout(PATIENCE, self.store.delete(&path)).await.map_err(|_| Unavailable::Slow)??)
    }

    /// The content of a file.
    pub(crate) async fn get(&self, location: &str) -> Result<Bytes, Unavailable> {
        let path = self.path(location);
        let get = async { self.store.get(&path).await?.bytes().await };
        Ok(timeout(PATIENCE, get).await.map_err(|_| Unavailable::Slow)??)
    }

    /// The names of the files below a folder, without the lake's URL, and when each was put, in microseconds.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(String, i64)>, Unavailable> {
        let prefix = Path::from(format!("{}/{folder}", self.prefix));
        let list = self.store.list(Some(&prefix)).try_collect::<Vec<_>>();
        let files = timeout(PATIENCE, list).await.map_err(|_| Unavailable::Slow)??;
        let above = format!("{}/", self.prefix);
        let name = |path: &Path| path.as_ref().trim_start_matches(&above).to_owned();
        Ok(files.iter().map(|file| (name(&file.location), file.last_modified.timestamp_micros())).collect())
    }
}

/// Writes a file and the entries of the folders above it to the disk.
fn sync(file: &std::path::Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    // Folders of this table, its partition and the lake may be new.
    for folder in file.ancestors().skip(1).take(5) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
