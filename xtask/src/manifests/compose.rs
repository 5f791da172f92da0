//! Rules for a file of Compose: programs know their variables, no secret has a default, everything that is
//! named is there, and ports are published on loopback.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::docs::Interface;

/// Ends of names whose values are secrets.
const SECRET: [&str; 5] = ["_PASSWORD", "_KEY", "_KEYS", "_TOKEN", "_SECRET"];

/// Returns the faults of a file, given as its text and as it is read, with variables filled in.
pub(super) fn faults(text: &str, document: &Value, interface: &Interface) -> Vec<String> {
    let mut faults = default_faults(text);
    let services = document["services"].as_object();
    let volumes: BTreeSet<&String> =
        document["volumes"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    let mut mounted = BTreeSet::new();
    for (name, service) in services.into_iter().flatten() {
        let mut must = |is: bool, what: &str| {
            if !is {
                faults.push(format!("{name}: {what}"));
            }
        };
        let image = service["image"].as_str().unwrap_or_default();
        let program = image.strip_prefix("clickwire-");
        match program {
            Some(program) => {
                must(service["read_only"] == true, "it may write to its image");
                must(service["cap_drop"] == serde_json::json!(["ALL"]), "it has capabilities");
                must(
                    list(&service["security_opt"]).any(|one| one == "no-new-privileges:true"),
                    "it may gain privileges",
                );
                must(service["build"]["target"] == program, "it is built as another program");
            }
            None => {
                must(image.contains(':') && !image.ends_with(":latest"), "its image has no version");
                must(service["healthcheck"]["test"].is_array(), "its health is not checked");
                must(service["ports"].is_null(), "it is published");
            }
        }
        let is_loopback = |port: &Value| port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:"));
        must(list(&service["ports"]).all(is_loopback), "it is published beyond this machine");
        must(service["restart"] == "unless-stopped", "it is not started again");
        let dependencies = service["depends_on"].as_object().into_iter().flatten();
        for (other, _) in dependencies {
            must(
                services.is_some_and(|services| services.contains_key(other)),
                &format!("depends on {other}, which is not there"),
            );
        }
        for mount in list(&service["volumes"]).filter_map(Value::as_str) {
            let volume = mount.split(':').next().unwrap_or_default();
            must(volumes.iter().any(|known| *known == volume), &format!("no volume {volume}"));
            must(mounted.insert(volume.to_owned()), &format!("volume {volume} is another service's, too"));
        }
        if let Some(settings) = program.map(|program| interface.settings.get(program)) {
            for (variable, _) in service["environment"].as_object().into_iter().flatten() {
                let is_known = settings.is_some_and(|settings| settings.contains_key(variable));
                must(is_known, &format!("{variable}: no such setting"));
            }
        }
    }
    faults.extend(
        volumes
            .into_iter()
            .filter(|volume| !mounted.contains(*volume))
            .map(|volume| format!("nothing uses volume {volume}")),
    );
    faults
}

/// Secrets that have a value if nobody gives them one.
fn default_faults(text: &str) -> Vec<String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once(":-").map(|(name, _)| name));
    let secrets = names.filter(|name| SECRET.iter().any(|end| name.ends_with(end)));
    secrets.map(|name| format!("{name}: a secret with a default")).collect()
}

/// Files that are written in it: name and content.
pub(super) fn contents(document: &Value) -> Vec<(String, String)> {
    let configs = document["configs"].as_object().into_iter().flatten();
    configs
        .filter_map(|(name, config)| Some((name.clone(), config["content"].as_str()?.to_owned())))
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_has_no_default() {
        let text = "a: ${A_PASSWORD:?set it} b: ${B_HOST:-c} d: ${D_TOKEN:-e}";
        assert_eq!(default_faults(text), ["D_TOKEN: a secret with a default"]);
    }

    #[test]
    fn a_program_is_closed_and_knows_its_variables() {
        let settings = [("CLICKWIRE_STREAM".to_owned(), false)].into();
        let interface = Interface { settings: [("lake", settings)].into(), metrics: [].into() };
        let good = json!({
            "services": { "lake": {
                "image": "clickwire-lake", "build": { "target": "lake" }, "restart": "unless-stopped",
                "read_only": true, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
                "environment": { "CLICKWIRE_STREAM": "A" }, "volumes": ["lake:/a"], "ports": ["127.0.0.1:1:1"],
            }},
            "volumes": { "lake": null },
        });
        assert_eq!(faults("", &good, &interface), Vec::<String>::new());
        for (key, value) in [
            ("read_only", json!(false)),
            ("environment", json!({ "CLICKWIRE_STREAMS": "A" })),
            ("ports", json!(["1:1"])),
            ("depends_on", json!({ "nats": {} })),
            ("cap_drop", json!(null)),
        ] {
            let mut bad = good.clone();
            bad["services"]["lake"][key] = value;
            assert_eq!(faults("", &bad, &interface).len(), 1, "{key}");
        }
        let mut bad = good.clone();
        bad["services"]["lake"]["volumes"] = json!(["nowhere:/a"]);
        assert_eq!(faults("", &bad, &interface), ["lake: no volume nowhere", "nothing uses volume lake"]);
    }
}
