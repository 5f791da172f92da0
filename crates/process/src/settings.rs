//! Common parts of the programs' settings: secrets may stand in files, and the tables of
//! docs/operate/configuration.md are compared with the programs' own flags, so that neither can drift from the other.

use std::{ffi::OsString, fs};

use clap::{Command, Parser, error::ErrorKind};

/// Reads a program's settings from its arguments, the environment, and files that the environment names:
/// for every setting whose value is hidden, such as `CLICKWIRE_ADMIN_TOKEN`, `CLICKWIRE_ADMIN_TOKEN_FILE` may
/// name a file that holds it, as container platforms hand secrets over. Ends the program if that can't be.
pub fn parse<C: Parser>() -> C {
    let mut command = C::command();
    match with_secrets(&command, std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(arguments) => C::parse_from(arguments),
        Err(message) => command.error(ErrorKind::Io, message).exit(),
    }
}

/// Arguments, with those added whose values stand in files.
fn with_secrets(
    command: &Command,
    mut given: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, String> {
    let mut arguments: Vec<OsString> = given.next().into_iter().collect();
    for argument in command.get_arguments().filter(|argument| argument.is_hide_env_values_set()) {
        let (Some(name), Some(long)) = (argument.get_env(), argument.get_long()) else { continue };
        let name = name.to_string_lossy();
        let Some(path) = variable(&format!("{name}_FILE")) else { continue };
        if variable(&name).is_some() {
            return Err(format!("{name} and {name}_FILE are both set; leave one out"));
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("{name}_FILE: {}: {error}", path.to_string_lossy()))?;
        // Before whatever was given: flags end where a command begins.
        arguments.push(format!("--{long}={}", text.trim_end_matches(['\r', '\n'])).into());
    }
    arguments.extend(given);
    Ok(arguments)
}

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

/// The rows that `page` lacks.
pub fn undocumented(command: &Command, page: &str) -> Vec<String> {
    table(command).into_iter().filter(|row| !page.lines().any(|line| line == row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Parser)]
    struct Config {
        #[arg(long, env = "TEST_OF_SETTINGS_KEYS", value_delimiter = ',', hide_env_values = true)]
        keys: Vec<String>,
        #[arg(long, env = "TEST_OF_SETTINGS_PORT", default_value_t = 1)]
        port: u16,
    }

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let given = ["program", "--port", "2"].into_iter().map(OsString::from);
        let arguments = with_secrets(&<Config as clap::CommandFactory>::command(), given, variable)?;
        Config::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let file = std::env::temp_dir().join(format!("clickwire-settings-{}", std::process::id()));
        fs::write(&file, "one,two\n").unwrap();
        let path = file.to_str().unwrap();
        let expected = Config { keys: vec!["one".to_owned(), "two".to_owned()], port: 2 };
        let found = read(&[("TEST_OF_SETTINGS_KEYS_FILE", path)]);
        let both = read(&[("TEST_OF_SETTINGS_KEYS_FILE", path), ("TEST_OF_SETTINGS_KEYS", "three")]);
        fs::remove_file(&file).unwrap();
        assert_eq!(found.unwrap(), expected);
        assert!(both.unwrap_err().contains("both set"));
        let missing = read(&[("TEST_OF_SETTINGS_KEYS_FILE", path)]).unwrap_err();
        assert!(missing.starts_with("TEST_OF_SETTINGS_KEYS_FILE: "), "{missing}");
        // What is no secret is not looked for in files.
        assert_eq!(read(&[("TEST_OF_SETTINGS_PORT_FILE", "/nowhere")]).unwrap().keys, Vec::<String>::new());
    }
}
