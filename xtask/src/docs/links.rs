//! Links: every relative one leads to a file, every anchor to a heading, and every page is reached from the index.
//! Comments that name a page are held to the same, in sources and in configuration; so are sources that a page names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use super::source::sorted;

/// The page from which every other one is reached.
const INDEX: &str = "docs/index.md";

/// Folders with files whose comments may name a page. Migrations are not among them: what was released is not
/// edited, so what they name may be gone.
const COMMENTED: [&str; 9] =
    ["server", "aggregator", "lake", "dashboard/src", "crates", "xtask", "examples", "deploy", ".ci"];

/// Returns the faults of links.
pub(super) fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let pages = pages(root)?;
    let mut links: BTreeMap<&Path, BTreeSet<PathBuf>> = BTreeMap::new();
    for (page, text) in &pages {
        for target in targets(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { page.clone() } else { normal(&folder(page).join(path)) };
            let name = page.display();
            if !root.join(&file).exists() {
                faults.push(format!("{name}: dead link: {target}"));
            } else if !anchor.is_empty()
                && !pages.get(&file).is_some_and(|text| anchors(text).contains(anchor))
            {
                faults.push(format!("{name}: no such heading: {target}"));
            } else {
                links.entry(page).or_default().insert(file);
            }
        }
    }
    faults.extend(unreached(&pages, &links));
    faults.extend(lost_sources(root, &pages)?);
    faults.extend(comments(root)?);
    Ok(faults)
}

/// All pages, by their paths from the root.
fn pages(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = sorted(root)?;
    collect(&root.join("docs"), &mut files)?;
    let mut pages = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        pages.insert(file.strip_prefix(root)?.to_owned(), text);
    }
    Ok(pages)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in sorted(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules"].contains(&&*name) {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Pages that no chain of links from the index reaches.
fn unreached(pages: &BTreeMap<PathBuf, String>, links: &BTreeMap<&Path, BTreeSet<PathBuf>>) -> Vec<String> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![PathBuf::from(INDEX)]);
    while let Some(page) = ahead.pop() {
        ahead
            .extend(links.get(&*page).into_iter().flatten().filter(|next| !reached.contains(*next)).cloned());
        reached.insert(page);
    }
    let lost = pages.keys().filter(|page| !reached.contains(*page));
    lost.map(|page| format!("{}: no link from {INDEX} reaches it", page.display())).collect()
}

/// Sources that a page names and that are not there. A page may leave out the folders before a name.
fn lost_sources(root: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in COMMENTED {
        collect(&root.join(folder), &mut files)?;
    }
    let is_there = |name: &str| files.iter().any(|file| file.ends_with(name));
    let mut faults = Vec::new();
    for (page, text) in pages {
        for line in prose(text) {
            let code = line.split('`').skip(1).step_by(2);
            let sources = code.filter(|code| {
                code.ends_with(".rs")
                    && !code.contains(|letter: char| letter.is_whitespace() || letter == '*')
            });
            faults.extend(
                sources
                    .filter(|name| !is_there(name))
                    .map(|name| format!("{}: no such source: {name}", page.display())),
            );
        }
    }
    Ok(faults)
}

/// Targets of a page's links, outside of code.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // Every second part of a line lies between backticks.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in line.split("](").skip(1) {
            targets.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    targets
}

/// Lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Anchors of a page's headings, as GitHub and others make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(text).filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let letters = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let slug: String = letters.map(|c| if c == ' ' { '-' } else { c }).collect();
        let free = (1..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(free).find(|slug| !anchors.contains(slug));
        anchors.extend(free);
    }
    anchors
}

/// Pages that comments name and that are not there.
fn comments(root: &Path) -> Result<Vec<String>> {
    let mut files = sorted(root)?;
    for folder in COMMENTED {
        collect(&root.join(folder), &mut files)?;
    }
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| is_commented(file)) {
        let text = fs::read_to_string(file).unwrap_or_default();
        for page in named(&text).into_iter().filter(|page| !root.join(page).exists()) {
            faults.push(format!("{}: names {page}, which is not there", file.strip_prefix(root)?.display()));
        }
    }
    Ok(faults)
}

fn is_commented(file: &Path) -> bool {
    let endings = ["rs", "toml", "yml", "yaml", "sh", "mjs", "py", "example"];
    let ending = file.extension().unwrap_or_default().to_string_lossy();
    let is_dockerfile = file.file_name().is_some_and(|name| name == "Dockerfile");
    file.is_file() && (endings.contains(&&*ending) || is_dockerfile)
}

/// Paths below `docs/` that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let words = text.split(|c| !is_path(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.starts_with("docs/") && word.ends_with(".md")).map(str::to_owned).collect()
}

fn folder(page: &Path) -> &Path {
    page.parent().unwrap_or(page)
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_outside_of_code() {
        let text = "[a](b.md) `[c](d.md)` and [e `f`](g.md#h)\n```sh\n[i](j.md)\n```\n![k](l.png)";
        assert_eq!(targets(text), ["b.md", "g.md#h", "l.png"]);
    }

    #[test]
    fn anchors_are_those_of_the_common_viewers() {
        let text = "# One, two: `three`\n## A\n## A\n```\n# no heading\n```";
        let anchors: Vec<_> = anchors(text).into_iter().collect();
        assert_eq!(anchors, ["a", "a-1", "one-two-three"]);
    }

    #[test]
    fn a_page_that_no_link_reaches_is_a_fault() {
        let page = |name: &str| (PathBuf::from(name), String::new());
        let pages = [page(INDEX), page("a.md"), page("b.md")].into();
        let links = [(Path::new(INDEX), [PathBuf::from("a.md")].into())].into();
        assert_eq!(unreached(&pages, &links), ["b.md: no link from docs/index.md reaches it"]);
    }

    #[test]
    fn the_comments_of_all_programs_are_looked_through() {
        let root = crate::workspace::root();
        for program in sorted(root).unwrap().iter().filter(|folder| folder.join("Cargo.toml").exists()) {
            let name = program.strip_prefix(root).unwrap();
            assert!(COMMENTED.iter().any(|folder| Path::new(folder).starts_with(name)), "{}", name.display());
        }
    }

    #[test]
    fn pages_are_found_in_comments() {
        let found: Vec<_> =
            named("// See docs/index.md, and docs/c. https://x.org/docs/d.md").into_iter().collect();
        assert_eq!(found, ["docs/index.md"]);
    }
}
