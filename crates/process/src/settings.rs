//! The README's tables of settings, made from the programs' own flags, so that neither can drift from
//! the other.

use clap::Command;

/// One row of a Markdown table for each flag that an environment variable sets: variable, default,
/// meaning.
pub fn table(command: &Command) -> Vec<String> {
    command
        .get_arguments()
        .filter_map(|argument| {
            let variable = argument.get_env()?.to_string_lossy().into_owned();
            let defaults: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default =
                if defaults.is_empty() { String::new() } else { format!("`{}`", defaults.join(",")) };
            let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
            Some(format!("| `{variable}` | {default} | {meaning} |"))
        })
        .collect()
}

/// The rows that `readme` lacks.
pub fn undocumented(command: &Command, readme: &str) -> Vec<String> {
    table(command).into_iter().filter(|row| !readme.lines().any(|line| line == row)).collect()
}
