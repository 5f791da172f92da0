//! The files of the dashboard, each under a name that says its content, so that browsers may keep
//! them for ever. Files refer to each other as `{file}` in their source.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::hex;

/// Digits of the content's hash in a name.
const DIGITS: usize = 16;

/// Files that belong together.
#[derive(Default)]
pub(super) struct Bundle {
    /// Content by name.
    files: BTreeMap<String, Vec<u8>>,
    /// Names by the names that sources use.
    names: BTreeMap<String, String>,
}

impl Bundle {
    /// Adds a file that refers to no other.
    pub(super) fn add(&mut self, source_name: &str, content: &[u8]) {
        let (stem, extension) = source_name.split_once('.').unwrap_or((source_name, "bin"));
        let hash = hex(&Sha256::digest(content));
        let name = format!("{stem}-{}.{extension}", &hash[..DIGITS]);
        self.names.insert(source_name.to_owned(), name.clone());
        self.files.insert(name, content.to_vec());
    }

    /// Adds a file that refers to files added before.
    pub(super) fn add_referring(&mut self, source_name: &str, content: &[u8]) -> Result<()> {
        let content = self.resolve(source_name, content)?;
        self.add(source_name, content.as_bytes());
        Ok(())
    }

    /// Adds a file whose name does not change.
    pub(super) fn add_index(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let content = self.resolve(name, content)?;
        self.files.insert(name.to_owned(), content.into_bytes());
        Ok(())
    }

    fn resolve(&self, source_name: &str, content: &[u8]) -> Result<String> {
        let mut text =
            std::str::from_utf8(content).with_context(|| format!("{source_name} is not text"))?.to_owned();
        for (source, name) in &self.names {
            text = text.replace(&format!("{{{source}}}"), name);
        }
        if let Some(left) = text.split("\"/{").nth(1) {
            bail!("{source_name} refers to {}, which is not there", left.split('}').next().unwrap_or(left));
        }
        Ok(text)
    }

    /// Replaces `dist` by these files, each with its compressed forms beside it. `scratch` is a
    /// folder on the same file system.
    pub(super) fn write(&self, dist: &Path, scratch: &Path, with_brotli: bool) -> Result<()> {
        let process = std::process::id();
        let (new, old) =
            (scratch.join(format!("dist.new.{process}")), scratch.join(format!("dist.old.{process}")));
        fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
        println!("{:>44} {:>9} {:>9} {:>9}", "bytes of the dashboard's files", "plain", "gzip", "brotli");
        for (name, content) in &self.files {
            let gzip = gzip(content).context("cannot compress")?;
            let brotli = if with_brotli { Some(brotli(content).context("cannot compress")?) } else { None };
            let brotli_size =
                brotli.as_ref().map_or_else(|| "-".to_owned(), |brotli| brotli.len().to_string());
            println!("{name:>44} {:>9} {:>9} {brotli_size:>9}", content.len(), gzip.len());
            let forms = [("", Some(content)), (".gz", Some(&gzip)), (".br", brotli.as_ref())];
            for (suffix, content) in forms {
                if let Some(content) = content {
                    let path = new.join(format!("{name}{suffix}"));
                    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
                }
            }
        }
        if dist.exists() {
            fs::rename(dist, &old).with_context(|| format!("cannot replace {}", dist.display()))?;
        }
        fs::rename(&new, dist).with_context(|| format!("cannot replace {}", dist.display()))?;
        if old.exists() {
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        Ok(())
    }
}

fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn brotli(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let parameters =
        BrotliEncoderParams { quality: 11, lgwin: 22, size_hint: content.len(), ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &content[..], &mut compressed, &parameters)?;
    Ok(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_the_content_and_all_that_it_refers_to() {
        let boot_of = |module: &[u8]| {
            let mut bundle = Bundle::default();
            bundle.add("app.wasm", module);
            bundle.add_referring("boot.js", b"load(\"/{app.wasm}\")").unwrap();
            bundle.add_index("index.html", b"<script src=\"/{boot.js}\">").unwrap();
            let index = String::from_utf8(bundle.files["index.html"].clone()).unwrap();
            assert!(index.contains(&bundle.names["boot.js"]), "{index}");
            bundle.names["boot.js"].clone()
        };
        assert_eq!(boot_of(b"one"), boot_of(b"one"));
        assert_ne!(boot_of(b"one"), boot_of(b"two"));
    }

    #[test]
    fn a_reference_to_nothing_is_an_error() {
        let error = Bundle::default().add_index("index.html", b"<link href=\"/{style.css}\">").unwrap_err();
        assert_eq!(error.to_string(), "index.html refers to style.css, which is not there");
    }
}
