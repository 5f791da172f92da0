//! Builds the dashboard: compile to WebAssembly, bind to JavaScript, name every file by its
//! content, compress, put everything into `dashboard/dist` at once.
//!
//! The build does nothing when nothing changed: what went into the last build is remembered by its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::workspace;

mod bundle;
mod compiler;

use bundle::Bundle;

/// All that a build depends on, beside the compiler.
const INPUTS: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "dashboard", "crates/protocol", "xtask/src/wasm.rs", "xtask/src/wasm"];

/// The page's programs: how their files are called, what is compiled, the index that loads it, the folders of
/// style sheets that it does without. Each has pages of its own, so that nobody loads those of another role
/// (`protocol: pages.rs`).
const PROGRAMS: [(&str, &str, &str, &[&str]); 2] = [
    ("app", "clickwire-dashboard", "index.html", &["staff"]),
    ("staff", "clickwire-dashboard-staff", "staff.html", &[]),
];

/// Layers of the style sheet: later ones win, however specific earlier ones are.
const LAYERS: &str = "@layer base, kit, frame, page;";

/// Builds into `dashboard/dist` unless that is up to date, and returns the folder. Brotli takes
/// seconds, so only a `release` has it.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    let root = workspace::root();
    let target = root.join("target-wasm");
    let dist = root.join("dashboard/dist");
    let stamp = target.join("dashboard.stamp");
    let inputs = fingerprint(root, release)?;
    if dist.join("index.html").is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) {
        return Ok(dist);
    }

    compiler::compile(&target)?;
    let source = |name: &str| {
        fs::read(root.join("dashboard").join(name)).with_context(|| format!("cannot read dashboard/{name}"))
    };
    let text = |name: &str| {
        String::from_utf8(source(name)?).with_context(|| format!("dashboard/{name} is not text"))
    };
    let mut bundle = Bundle::default();
    for name in ["favicon.svg", "icon-192.png", "icon-512.png"] {
        bundle.add(name, &source(name)?);
    }
    for name in ["sw.js", "clickwire.webmanifest"] {
        bundle.add_index(name, &source(name)?)?;
    }
    let files = add_words(&mut bundle, &root.join("dashboard/words"))?;
    let (boot, index) = (text("boot.js")?.replace("{words}", &files), text("index.html")?);
    for (name, program, index_name, without) in PROGRAMS {
        bundle.add(&format!("{name}.css"), style_sheet(&root.join("dashboard"), without)?.as_bytes());
        let (glue, module) = bind(&target.join(format!("wasm32-unknown-unknown/wasm/{program}.wasm")))?;
        bundle.add(&format!("{name}.wasm"), &module);
        bundle.add(&format!("{name}.js"), glue.as_bytes());
        // Sources name the first program; another has files of its own in the same places.
        let of = |text: &str| {
            let text = text.replace("{app.", &format!("{{{name}."));
            text.replace("{boot.js}", &format!("{{{name}-boot.js}}")).into_bytes()
        };
        bundle.add_referring(&format!("{name}-boot.js"), &of(&boot))?;
        bundle.add_index(index_name, &of(&index))?;
    }

    if stamp.exists() {
        fs::remove_file(&stamp).context("cannot forget the last build")?;
    }
    bundle.write(&dist, &target, release)?;
    fs::write(&stamp, inputs).context("cannot remember the build")?;
    Ok(dist)
}

/// Adds the words of each language, and returns their places by the language's code, as JSON that refers to them.
fn add_words(bundle: &mut Bundle, folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>>>()?;
    let mut places = BTreeMap::new();
    for path in paths {
        let language = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        // What the page compares with the beginning of a browser's languages.
        let is_code =
            (2..=3).contains(&language.len()) && language.bytes().all(|letter| letter.is_ascii_lowercase());
        if !is_code || path.extension().is_none_or(|extension| extension != "json") {
            bail!("{} is not called as a language is, such as de.json", path.display());
        }
        let name = format!("words-{language}.json");
        bundle.add(&name, &fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        places.insert(language.to_owned(), format!("/{{{name}}}"));
    }
    serde_json::to_string(&places).context("cannot write the places of words")
}

/// The style sheets as one: the order of layers, the page's own, and each component's by name, but those of some
/// folders.
fn style_sheet(dashboard: &Path, without: &[&str]) -> Result<String> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A layer that is left open takes all that follows into itself, and wins over it.
        if !is_closed(&text) {
            bail!("{} has a block that is not closed, or one brace too many", path.display());
        }
        Ok(text)
    };
    let paths = sheets(&dashboard.join("style"), without)?;
    let of_components = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    Ok(format!("{LAYERS}\n{}{}", read(&dashboard.join("style.css"))?, of_components.concat()))
}

/// The style sheets below a folder, by name: of two rules that are equally specific, the later file's wins. A
/// folder comes before the sheet of its name, so that a page may place the parts that it is made of.
fn sheets(folder: &Path, without: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>>>()?;
    let mut sheets_of_folder = Vec::new();
    for path in paths {
        if !path.is_dir() {
            sheets_of_folder.push(path);
        } else if !without.iter().any(|name| path.ends_with(name)) {
            sheets_of_folder.extend(sheets(&path, without)?);
        }
    }
    Ok(sheets_of_folder)
}

/// Returns whether every block of a style sheet ends in it, comments aside.
fn is_closed(sheet: &str) -> bool {
    let mut depth = 0_i32;
    for (number, part) in sheet.split("/*").enumerate() {
        let rules = if number == 0 { part } else { part.split_once("*/").map_or("", |(_, rules)| rules) };
        for brace in rules.chars() {
            depth += match brace {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            if depth < 0 {
                return false;
            }
        }
    }
    depth == 0
}

/// The glue in JavaScript, and the module that it loads.
fn bind(compiled: &Path) -> Result<(String, Vec<u8>)> {
    let mut output = Bindgen::new()
        .input_path(compiled)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()
        .context("wasm-bindgen can't read what was compiled")?;
    // Dependencies may bring some that nothing calls.
    if output.js().contains("./snippets/") {
        bail!("a dependency of the dashboard calls JavaScript of its own, which the bundle has no place for");
    }
    Ok((output.js().to_owned(), output.wasm_mut().emit_wasm()))
}

/// One hash of all inputs.
fn fingerprint(root: &Path, release: bool) -> Result<String> {
    let mut files = BTreeMap::new();
    for input in INPUTS {
        collect(&root.join(input), &mut files)?;
    }
    let mut hash = Sha256::new();
    hash.update([u8::from(release)]);
    for (path, content) in files {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(content);
    }
    Ok(hex(&hash.finalize()))
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, [u8; 32]>) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    if path.is_file() {
        files.insert(path.to_owned(), Sha256::digest(fs::read(path).with_context(context)?).into());
    } else if path.file_name().is_none_or(|name| name != "dist") {
        for entry in fs::read_dir(path).with_context(context)? {
            collect(&entry.with_context(context)?.path(), files)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::is_closed;

    #[test]
    fn a_sheet_that_leaves_a_block_open_is_known() {
        for (sheet, closed) in [
            ("", true),
            ("@layer a { b { c: d } }", true),
            ("/* { */ a {} /* } */", true),
            ("@layer a { b {}", false),
            ("a {} }", false),
            ("} a {", false),
        ] {
            assert_eq!(is_closed(sheet), closed, "{sheet}");
        }
    }
}
