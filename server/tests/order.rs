//! The order of the server's wings: a wing uses those below it and none above, so that there is no circle and
//! each can be read without what is built on it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// From the top to the bottom.
const WINGS: [&str; 14] = [
    "fuzzing", "app", "health", "cli", "admin", "redirect", "graphql", "live", "intake", "query", "identity",
    "store", "config", "http",
];

/// The layers of the gateway, from the top to the bottom.
const LIVE: [&str; 3] = ["feed", "session", "wire"];

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The modules that a source names: the first names after `prefix`, or in the group after it.
fn named(source: &str, prefix: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(members(group)),
            None => found.extend([name(rest)]),
        }
    }
    found
}

/// The first names in a group of imports, which begins behind its brace.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut members, mut is_next) = (1, Vec::new(), true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => is_next = true,
            _ if letter.is_whitespace() => {}
            _ if is_next => {
                members.push(name(&group[at..]));
                is_next = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    members
}

fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn a_wing_uses_those_below_it_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files).unwrap();
    let rank = |wing: &str| WINGS.iter().position(|known| *known == wing);
    let (mut wrong, mut edges) = (Vec::new(), 0);
    for file in &files {
        let place = file.strip_prefix(&root).unwrap();
        let first = place.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let wing = first.strip_suffix(".rs").unwrap_or(&first);
        if ["lib", "main"].contains(&wing) {
            continue;
        }
        let Some(own) = rank(wing) else {
            wrong.push(format!("{} is in no wing that is listed here", place.display()));
            continue;
        };
        for other in named(&fs::read_to_string(file).unwrap(), "crate::") {
            match rank(&other) {
                Some(rank) if rank >= own => edges += usize::from(rank > own),
                Some(_) => wrong.push(format!("{} uses {other}, which is above {wing}", place.display())),
                None => wrong.push(format!("{} uses {other}, which is no wing", place.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files.len() > 100 && edges > 50, "{} files, {edges} uses: they are not read", files.len());
}

#[test]
fn a_layer_of_the_gateway_uses_those_below_it_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live");
    for (rank, layer) in LIVE.iter().enumerate() {
        let mut files = Vec::new();
        sources(&root.join(layer), &mut files).unwrap();
        assert!(!files.is_empty(), "{layer}");
        for file in files {
            let used = named(&fs::read_to_string(&file).unwrap(), "live::");
            let wrong: Vec<_> = LIVE[..rank].iter().filter(|above| used.contains(**above)).collect();
            assert!(wrong.is_empty(), "{} uses {wrong:?}", file.display());
            let doors = ["hub", "websocket", "http", "presence"];
            assert!(doors.iter().all(|door| !used.contains(*door)), "{} uses {used:?}", file.display());
        }
    }
}

#[test]
fn uses_are_found_however_they_are_written() {
    let found = named(
        "use crate::{\n    http::{error::Error, state},\n    live,\n};\nuse crate::store::scope;\n\
         fn f() { crate::intake::take(); mycrate::query(); }\n// crate::admin\n",
        "crate::",
    );
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["http", "intake", "live", "store"]);
}
