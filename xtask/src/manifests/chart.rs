//! Rules for rendered objects: they fit each other and the programs, and are as closed as they can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::docs::Interface;

/// Values that must be refused: a name, the values, and words of the reason.
pub(super) const REFUSED: [(&str, &str, &str); 17] = [
    ("no secret", "{}", "secret.name"),
    (
        "a setting that no program has",
        "{secret: {name: a}, settings: {server: {CLICKWIRE_TRUSTED_PROXYS: a}}}",
        "TRUSTED_PROXYS",
    ),
    (
        "a secret among the settings",
        "{secret: {name: a}, settings: {server: {CLICKWIRE_ADMIN_TOKEN: a}}}",
        "CLICKWIRE_ADMIN_TOKEN",
    ),
    ("a secret that no program has", "{secret: {name: a, lake: [CLICKWIRE_ADMIN_TOKEN]}}", "/secret/lake/0"),
    (
        "a number where Helm would change it",
        "{secret: {name: a}, settings: {aggregator: {CLICKWIRE_STREAM_MAX_BYTES: 8589934592}}}",
        "CLICKWIRE_STREAM_MAX_BYTES",
    ),
    ("a misspelt value", "{secret: {name: a}, agregator: {}}", "agregator"),
    (
        "a role that there is not",
        "{secret: {name: a}, servers: {intake: {roles: [intakes]}}}",
        "/servers/intake",
    ),
    (
        "a group by the name of another program",
        "{secret: {name: a}, servers: {lake: {roles: [live]}}}",
        "lake",
    ),
    (
        "redirects without a spool",
        "{secret: {name: a}, servers: {intake: {spool: {enabled: false}}}}",
        "browsers do not send",
    ),
    (
        "an ingress whose clicks all have one address",
        "{secret: {name: a}, servers: {intake: {ingress: {hosts: [a.example]}}}}",
        "CLICKWIRE_TRUSTED_PROXIES",
    ),
    (
        "a drain that is cut off",
        "{secret: {name: a}, settings: {server: {CLICKWIRE_DRAIN_SECONDS: '45'}}}",
        "terminationGracePeriodSeconds",
    ),
    (
        "more aggregators than partitions",
        "{secret: {name: a}, aggregator: {autoscaling: {enabled: true, maxReplicas: 5}}}",
        "partitions",
    ),
    (
        "an autoscaler upside down",
        "{secret: {name: a}, aggregator: {autoscaling: {enabled: true, minReplicas: 4, maxReplicas: 3}}}",
        "minReplicas",
    ),
    (
        "an autoscaler that looks at nothing",
        "{secret: {name: a}, aggregator: {autoscaling: {enabled: true, metrics: {clickwire_lag_milliseconds: null}}}}",
        "by nothing",
    ),
    ("a lake without a place", "{secret: {name: a}, lake: {enabled: true}}", "CLICKWIRE_LAKE_URL"),
    (
        "a lake in a folder without a volume",
        "{secret: {name: a}, lake: {enabled: true}, settings: {lake: {CLICKWIRE_LAKE_URL: 'file:///a'}}}",
        "volume",
    ),
    (
        "two prefixes",
        "{secret: {name: a}, settings: {aggregator: {CLICKWIRE_REDIS_PREFIX: b}}}",
        "CLICKWIRE_REDIS_PREFIX",
    ),
];

/// Settings that the chart makes itself, or for which a pod has no files.
const OWN: [&str; 10] = [
    "CLICKWIRE_LISTEN",
    "CLICKWIRE_METRICS_LISTEN",
    "CLICKWIRE_AGGREGATOR_LISTEN",
    "CLICKWIRE_LAKE_LISTEN",
    "CLICKWIRE_ROLES",
    "CLICKWIRE_SPOOL",
    "CLICKWIRE_WAL",
    "CLICKWIRE_PARTITIONS",
    "CLICKWIRE_TLS_CERTIFICATE",
    "CLICKWIRE_TLS_KEY",
];

/// The setting that only all programs together can have.
const SHARED_ALONE: &str = "CLICKWIRE_STREAM";

/// Kinds that the cases must have, so that no check is one of nothing.
const KINDS: [&str; 8] = [
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];

const WORKLOADS: [&str; 2] = ["Deployment", "StatefulSet"];

/// Returns the faults of the objects of one rendering.
pub(super) fn faults(objects: &[Value], interface: &Interface) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for object in objects {
        if !names.insert(title(object)) {
            faults.push(format!("{}: twice", title(object)));
        }
        let own = match kind(object) {
            kind if WORKLOADS.contains(&kind) => workload_faults(object, objects, interface),
            "Service" => selects_one(object, &object["spec"]["selector"], objects),
            "PodDisruptionBudget" => selects_one(object, &object["spec"]["selector"]["matchLabels"], objects),
            "NetworkPolicy" => selects_one(object, &object["spec"]["podSelector"]["matchLabels"], objects),
            "HorizontalPodAutoscaler" => autoscaler_faults(object, objects, interface),
            "Ingress" => ingress_faults(object, objects),
            "Secret" => vec!["a Secret: secrets are the operator's".to_owned()],
            _ => Vec::new(),
        };
        faults.extend(own.into_iter().map(|fault| format!("{}: {fault}", title(object))));
    }
    faults
}

/// Kinds that no case has.
pub(super) fn lacking(cases: &BTreeMap<String, Vec<Value>>) -> Vec<String> {
    let rendered: BTreeSet<&str> = cases.values().flatten().map(kind).collect();
    let lacking = KINDS.into_iter().filter(|kind| !rendered.contains(kind));
    lacking.map(|kind| format!("no case of the chart renders a {kind}")).collect()
}

/// Returns the faults of the chart's own description: its version, and the names in the schema of its values.
pub(super) fn description_faults(chart: &Path, interface: &Interface) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let description = std::fs::read_to_string(chart.join("Chart.yaml"))?;
    for field in ["version", "appVersion"] {
        let line = format!("{field}: {}", env!("CARGO_PKG_VERSION"));
        if !description.lines().any(|known| known == line) {
            faults.push(format!("Chart.yaml: not {line:?}, which is the workspace's"));
        }
    }
    let schema: Value = serde_json::from_slice(&std::fs::read(chart.join("values.schema.json"))?)?;
    for (definition, expected) in names(interface) {
        let listed = schema["$defs"][&definition]["enum"].as_array();
        let listed: BTreeSet<&str> = listed
            .with_context(|| format!("values.schema.json has no list {definition}"))?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for name in expected.symmetric_difference(&listed) {
            let what = if listed.contains(name) { "must not have" } else { "lacks" };
            faults.push(format!("values.schema.json: {definition} {what} {name}"));
        }
    }
    Ok(faults)
}

/// The lists of the schema, by name.
fn names(interface: &Interface) -> BTreeMap<String, BTreeSet<&str>> {
    let mut names = BTreeMap::new();
    let plain = |settings: &'_ BTreeMap<String, bool>| -> BTreeSet<String> {
        let plain = settings.iter().filter(|(name, is_secret)| !**is_secret && !OWN.contains(&name.as_str()));
        plain.map(|(name, _)| name.clone()).collect()
    };
    let of_all = interface
        .settings
        .values()
        .map(plain)
        .reduce(|one, other| one.intersection(&other).cloned().collect())
        .unwrap_or_default();
    let mut shared = BTreeSet::new();
    for (program, settings) in &interface.settings {
        let (mut own, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for (name, is_secret) in settings {
            if of_all.contains(name) {
                shared.insert(name.as_str());
            }
            if *is_secret {
                secrets.insert(name.as_str());
            } else if !OWN.contains(&name.as_str()) && name != SHARED_ALONE {
                own.insert(name.as_str());
            }
        }
        names.insert(format!("{program}Setting"), own);
        names.insert(format!("{program}Secret"), secrets);
    }
    names.insert("sharedSetting".to_owned(), shared);
    names
}

fn workload_faults(workload: &Value, objects: &[Value], interface: &Interface) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |is: bool, what: &str| {
        if !is {
            faults.push(what.to_owned());
        }
    };
    let pod = &workload["spec"]["template"]["spec"];
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    must(selects(&workload["spec"]["selector"]["matchLabels"], labels), "its selector does not fit its pods");
    must(pod["automountServiceAccountToken"] == false, "its pods have a token of Kubernetes");
    must(pod["securityContext"]["runAsNonRoot"] == true, "it may run as root");
    must(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile");
    let account = &pod["serviceAccountName"];
    let has_account =
        |object: &Value| kind(object) == "ServiceAccount" && object["metadata"]["name"] == *account;
    must(objects.iter().any(has_account), "no such service account");
    let count = |of: &str, path: &[&str]| {
        let of_kind = objects.iter().filter(|object| kind(object) == of);
        of_kind.filter(|object| selects(path.iter().fold(*object, |value, key| &value[*key]), labels)).count()
    };
    // One at a time, a lake has nothing to keep up.
    let is_lake = workload["metadata"]["labels"]["app.kubernetes.io/component"] == "lake";
    let budgets = count("PodDisruptionBudget", &["spec", "selector", "matchLabels"]);
    must(budgets == usize::from(!is_lake), "it has not the one disruption budget that it should have");
    if objects.iter().any(|object| kind(object) == "NetworkPolicy") {
        let policies = count("NetworkPolicy", &["spec", "podSelector", "matchLabels"]);
        must(policies == 1, "it has not one network policy");
    }
    let volumes: BTreeSet<&str> = list(&pod["volumes"])
        .chain(list(&workload["spec"]["volumeClaimTemplates"]).map(|claim| &claim["metadata"]))
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    for container in list(&pod["containers"]) {
        faults.extend(container_faults(container, &volumes, interface));
    }
    faults
}

fn container_faults(container: &Value, volumes: &BTreeSet<&str>, interface: &Interface) -> Vec<String> {
    let mut faults = Vec::new();
    let program = container["name"].as_str().unwrap_or_default();
    let context = &container["securityContext"];
    for (is, what) in [
        (context["allowPrivilegeEscalation"] == false, "it may gain privileges"),
        (context["readOnlyRootFilesystem"] == true, "it may write to its image"),
        (context["capabilities"]["drop"] == serde_json::json!(["ALL"]), "it has capabilities"),
        (container["resources"]["limits"]["memory"].is_string(), "its memory has no limit"),
        (container["resources"]["requests"]["cpu"].is_string(), "it asks for no share of a processor"),
        (
            container["image"].as_str().is_some_and(|image| image.contains(&format!("clickwire-{program}:"))),
            "its image is another program's",
        ),
    ] {
        if !is {
            faults.push(what.to_owned());
        }
    }
    let ports: BTreeSet<&str> = list(&container["ports"]).filter_map(|port| port["name"].as_str()).collect();
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        let get = &container[probe]["httpGet"];
        if get["path"] != path || !get["port"].as_str().is_some_and(|port| ports.contains(port)) {
            faults.push(format!("{probe} does not ask {path} at a port that there is"));
        }
    }
    for mount in list(&container["volumeMounts"]) {
        if !mount["name"].as_str().is_some_and(|name| volumes.contains(name)) {
            faults.push(format!("no such volume: {}", mount["name"]));
        }
    }
    faults.extend(variable_faults(program, list(&container["env"]), interface));
    faults
}

/// Returns the faults of a program's variables: unknown ones, secrets in the open, and those that stand twice.
fn variable_faults<'v>(
    program: &str,
    variables: impl Iterator<Item = &'v Value>,
    interface: &Interface,
) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(settings) = interface.settings.get(program) else {
        return vec![format!("no program {program:?}")];
    };
    let mut names = BTreeSet::new();
    for variable in variables {
        let name = variable["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            faults.push(format!("{name}: twice"));
        }
        if !name.starts_with("CLICKWIRE_") {
            continue;
        }
        let of_file = name.strip_suffix("_FILE").filter(|_| !settings.contains_key(name));
        match settings.get(of_file.unwrap_or(name)) {
            None => faults.push(format!("{name}: {program} has no such setting")),
            Some(false) if of_file.is_some() => {
                faults.push(format!("{name}: only a secret may stand in a file"));
            }
            Some(true) if of_file.is_none() => faults.push(format!("{name}: a secret in the open")),
            Some(_) => {}
        }
    }
    faults
}

fn autoscaler_faults(autoscaler: &Value, objects: &[Value], interface: &Interface) -> Vec<String> {
    let mut faults = Vec::new();
    let target = &autoscaler["spec"]["scaleTargetRef"];
    let workload = objects
        .iter()
        .find(|object| object["kind"] == target["kind"] && object["metadata"]["name"] == target["name"]);
    let Some(workload) = workload else { return vec!["it scales nothing".to_owned()] };
    if !workload["spec"]["replicas"].is_null() {
        faults.push("what it scales has a number of its own, to which each upgrade would return".to_owned());
    }
    let program = workload["spec"]["template"]["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
    let metrics =
        list(&autoscaler["spec"]["metrics"]).filter_map(|one| one["pods"]["metric"]["name"].as_str());
    for metric in metrics {
        match interface.metrics.get(metric) {
            None => faults.push(format!("no such metric: {metric}")),
            Some(programs) if !programs.contains(program) => {
                faults.push(format!("{metric}: not a metric of {program}"));
            }
            Some(_) => {}
        }
    }
    faults
}

fn ingress_faults(ingress: &Value, objects: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let paths = list(&ingress["spec"]["rules"]).flat_map(|rule| list(&rule["http"]["paths"]));
    for backend in paths.map(|path| &path["backend"]["service"]) {
        let service = objects
            .iter()
            .find(|object| kind(object) == "Service" && object["metadata"]["name"] == backend["name"]);
        let ports = service.into_iter().flat_map(|service| list(&service["spec"]["ports"]));
        if !ports.into_iter().any(|port| port["name"] == backend["port"]["name"]) {
            faults.push(format!("it leads to nothing: {backend}"));
        }
    }
    faults
}

/// Returns the faults of a selector that does not mean exactly one workload's pods, or of ports that they lack.
fn selects_one(object: &Value, selector: &Value, objects: &[Value]) -> Vec<String> {
    let workloads = objects.iter().filter(|object| WORKLOADS.contains(&kind(object)));
    let meant: Vec<&Value> = workloads
        .map(|workload| &workload["spec"]["template"])
        .filter(|template| selects(selector, &template["metadata"]["labels"]))
        .collect();
    let [template] = meant.as_slice() else {
        return vec![format!("it means the pods of {} workloads", meant.len())];
    };
    let ports: Vec<&Value> =
        list(&template["spec"]["containers"]).flat_map(|container| list(&container["ports"])).collect();
    let has =
        |wanted: &Value| ports.iter().any(|port| port["name"] == *wanted || port["containerPort"] == *wanted);
    let served = list(&object["spec"]["ports"]).map(|port| &port["targetPort"]);
    let admitted =
        list(&object["spec"]["ingress"]).flat_map(|rule| list(&rule["ports"])).map(|port| &port["port"]);
    let strange = served.chain(admitted).filter(|port| !has(port));
    strange.map(|port| format!("its pods have no port {port}")).collect()
}

/// Returns whether a selector, which must not be empty, means pods with these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
    })
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn title(object: &Value) -> String {
    format!("{} {}", kind(object), object["metadata"]["name"].as_str().unwrap_or_default())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn interface() -> Interface {
        let settings = [("CLICKWIRE_STREAM", false), ("CLICKWIRE_NATS_URL", true)];
        let settings = settings.map(|(name, is_secret)| (name.to_owned(), is_secret)).into();
        Interface {
            settings: [("server", settings)].into(),
            metrics: [("clickwire_connections".to_owned(), ["server"].into())].into(),
        }
    }

    #[test]
    fn a_variable_is_a_setting_and_a_secret_stands_in_a_file() {
        let found = |name: &str| variable_faults("server", [json!({ "name": name })].iter(), &interface());
        for name in ["CLICKWIRE_STREAM", "CLICKWIRE_NATS_URL_FILE", "AWS_REGION"] {
            assert_eq!(found(name), Vec::<String>::new(), "{name}");
        }
        for (name, fault) in [
            ("CLICKWIRE_STREAMS", "no such setting"),
            ("CLICKWIRE_STREAM_FILE", "only a secret"),
            ("CLICKWIRE_NATS_URL", "in the open"),
        ] {
            assert!(found(name)[0].contains(fault), "{name}");
        }
        let twice = json!({ "name": "CLICKWIRE_STREAM" });
        assert_eq!(variable_faults("server", [&twice, &twice].into_iter(), &interface()).len(), 1);
        assert_eq!(variable_faults("sever", [].iter(), &interface()).len(), 1);
    }

    #[test]
    fn an_autoscaler_looks_at_a_metric_that_its_program_tells() {
        let found = |metric: &str| {
            let scaler = json!({ "spec": {
                "scaleTargetRef": { "kind": "Deployment", "name": "a" },
                "metrics": [{ "pods": { "metric": { "name": metric } } }],
            }});
            let containers = json!([{ "name": "server" }]);
            let workload = json!({ "kind": "Deployment", "metadata": { "name": "a" },
                "spec": { "template": { "spec": { "containers": containers } } } });
            autoscaler_faults(&scaler, &[workload], &interface())
        };
        assert_eq!(found("clickwire_connections"), Vec::<String>::new());
        assert_eq!(found("clickwire_conections"), ["no such metric: clickwire_conections"]);
    }

    #[test]
    fn an_empty_selector_would_mean_everything() {
        let labels = json!({ "a": "b", "c": "d" });
        assert!(selects(&json!({ "a": "b" }), &labels));
        for selector in [json!({}), json!(null), json!({ "a": "c" }), json!({ "e": "f" })] {
            assert!(!selects(&selector, &labels), "{selector}");
        }
    }
}
