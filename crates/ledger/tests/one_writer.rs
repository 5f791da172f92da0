//! The ledger's tables have one writer: no other crate of the workspace contains a statement that writes one of
//! [`TABLES`].
//!
//! Sources are read as text. A statement counts wherever it stands: in a literal over several lines, in a constant,
//! in a macro; comments don't. A statement whose table is put in when it runs (`INSERT INTO {table}`) can't be read,
//! so it is refused, too. What this does not see: a write inside a function or a trigger of the database, which
//! only migrations can make, and those are the ledger's.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use clickwire_ledger::tables::{OTHERS, TABLES};

/// Places for statements: the ledger itself, and code that only runs as a test, which breaks the books to see it
/// found out. Modules of tests at the end of a file are excepted, too: see [`text`].
const EXCEPTIONS: [&str; 3] = ["crates/ledger/", "crates/e2e/tests/", "aggregator/tests/"];

/// Beginnings of statements that write, in lower case and single spaces; the table's name follows.
const WRITES: [&str; 9] = [
    "insert into ",
    "update ",
    "delete from ",
    "merge into ",
    "copy ",
    "truncate ",
    "alter table ",
    "drop table ",
    "drop_chunks(",
];

/// Texts that may stand between the verb and the name.
const FILLERS: [&str; 7] = ["table ", "only ", "if exists ", "public.", "tenants.", "'", "\""];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Rust sources below a folder; what is built is left out.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.')
                && name != "target"
                && !name.starts_with("target-")
                && name != "node_modules"
            {
                sources(&path, found)?;
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// A source without comments and its module of tests, which comes last, in lower case; literals that go on in the
/// next line are in one.
fn text(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = source.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let lines = lines.map(|line| line.strip_suffix('\\').unwrap_or(line));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

fn is_part_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The statements in a source that write one of the tables, or one that can't be told.
fn writes(source: &str) -> Vec<String> {
    let text = text(source);
    let mut found = Vec::new();
    for write in WRITES {
        for (at, _) in text.match_indices(write) {
            if text[..at].ends_with(is_part_of_a_name) {
                continue;
            }
            let mut rest = &text[at + write.len()..];
            while let Some(shorter) = FILLERS.iter().find_map(|filler| rest.strip_prefix(filler)) {
                rest = shorter;
            }
            let name: &str = rest.split(|letter| !is_part_of_a_name(letter)).next().unwrap_or_default();
            // A placeholder, a bound value, or the end of a literal that something is joined to.
            let is_open = name.is_empty() && rest.starts_with(['{', '$', ',', ')']);
            let is_statement = match write {
                "insert into " | "delete from " | "drop_chunks(" => true,
                "update " => rest.chars().take(60).collect::<String>().contains(" set "),
                _ => false,
            };
            if TABLES.contains(&name) || (is_open && is_statement) {
                found.push(format!("{write}{}", rest.chars().take(40).collect::<String>()));
            }
        }
    }
    found
}

#[test]
fn no_other_crate_writes_the_ledgers_tables() {
    let workspace = workspace();
    let mut files = Vec::new();
    sources(&workspace, &mut files).unwrap();
    let (mut read, mut of_the_ledger, mut wrong) = (0, 0, Vec::new());
    for path in files {
        let name = path.strip_prefix(&workspace).unwrap().to_string_lossy().into_owned();
        let found = writes(&fs::read_to_string(&path).unwrap());
        read += 1;
        if name.starts_with("crates/ledger/src/") {
            of_the_ledger += found.len();
        }
        if !EXCEPTIONS.iter().any(|exception| name.starts_with(exception)) {
            wrong.extend(found.into_iter().map(|statement| format!("{name}: {statement}")));
        }
    }
    assert!(wrong.is_empty(), "only crates/ledger writes its tables:\n{}", wrong.join("\n"));
    // It has looked, and knows a statement when it sees one.
    assert!(read > 200 && of_the_ledger > 30, "{of_the_ledger} statements in {read} files");
}

#[test]
fn every_table_of_the_migrations_is_the_ledgers_or_another_writers() {
    let mut made = BTreeSet::new();
    for entry in fs::read_dir(workspace().join("migrations")).unwrap() {
        let sql = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        for line in lines.filter_map(|line| line.split_once("CREATE TABLE ")).map(|(_, rest)| rest) {
            let name = line.trim_start_matches("IF NOT EXISTS ");
            made.insert(name.split([' ', '(']).next().unwrap_or_default().to_owned());
        }
    }
    let known: BTreeSet<String> = TABLES.iter().chain(&OTHERS).map(|&name| name.to_owned()).collect();
    assert_eq!(made, known);
    assert_eq!(known.len(), TABLES.len() + OTHERS.len(), "a table has one owner");
}

#[test]
fn a_statement_is_known_however_it_is_written() {
    for source in [
        r#"sqlx::query("INSERT INTO clicks (click_id) VALUES ($1)")"#,
        r#"query("update public.click_minutes m SET valid = 0")"#,
        "\"DELETE \\\n    FROM   judged\"",
        r#"concat!("DELETE FROM ", $table)"#,
        r#"format!("INSERT INTO {table} VALUES (1)")"#,
        r#"format!("INSERT INTO {} VALUES (1)", table)"#,
        r#"format!("UPDATE {table} SET valid = 0")"#,
        r#"copy_in_raw("COPY alerts FROM STDIN")"#,
        r#"raw_sql("TRUNCATE TABLE ONLY adjustments")"#,
        r#""SELECT drop_chunks('unique_hours', INTERVAL '1 day')""#,
        r#""SELECT drop_chunks($1::regclass)""#,
        r#""WITH gone AS (DELETE FROM alert_changes RETURNING seq) SELECT 1""#,
    ] {
        assert_eq!(writes(source).len(), 1, "{source}: {:?}", writes(source));
    }
    for source in [
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    const SQL: &str = \"DELETE FROM clicks\";\n}",
        "// INSERT INTO clicks: see the ledger.",
        r#""SELECT count(*) FROM clicks FOR UPDATE SKIP LOCKED""#,
        r#""INSERT INTO accounts (login) SELECT 1""#,
        r#""UPDATE alerts_of_mine SET x = 1""#,
        "#[derive(Clone, Copy, Debug)] struct Clicks;",
        "fn update(alerts: &mut Alerts) { self.update (alerts) }",
        "let fill = format!(\"{title} {}\", copy(clicks));",
    ] {
        assert_eq!(writes(source), [""; 0], "{source}");
    }
}
