"""Lints, renders and validates what is deployed with, and prints it as JSON. Knows nothing of Clickwire.

Reads {"chart", "cases": {name: path of values}, "refused": {name: values as YAML}, "versions": [...],
"compose": [paths]} from standard input; prints {"cases": {name: [object]}, "notes": {name: text},
"refused": {name: why}, "compose": {path: document}, "faults": [text]}.
"""

import json
import re
import sys

import compose_spec
import kubernetes_validate
import yaml
from helm_python import chart as helm


class Loader(yaml.SafeLoader):
    """A key that stands twice is an error, as it is to strict readers."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise yaml.YAMLError(f"{node.start_mark}: twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


def load(text):
    return [one for one in yaml.load_all(text, Loader) if one is not None]


def render(chart, name, values, versions, faults):
    """The objects and the notes."""
    for version in versions:
        report = helm.lint(chart, values, strict=True, namespace="ads", kube_version=f"v{version}.0")
        told = [one["error"] for one in report["messages"] if one["severity"] > 1] + report["errors"]
        faults += [f"{name}: lint: {error}" for error in told]
    objects, notes = [], ""
    for template, text in sorted(helm.Chart.load(chart).render(values, name="test", namespace="ads").items()):
        if template.endswith(".txt"):
            notes = text
            continue
        for one in load(text):
            where = f"{name}: {template}: {one['kind']} {one['metadata']['name']}"
            for version in versions:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                except Exception as error:
                    path = ".".join(map(str, getattr(error, "absolute_path", [])))
                    faults.append(f"{where}: Kubernetes {version}: {path}: {getattr(error, 'message', error)}")
            objects.append(one)
    return objects, notes


def interpolated(text):
    """As Compose does it: a default, or something for what must be set; `$$` is a dollar."""

    def value(match):
        if match.group(0) == "$$":
            return "$"
        _, operator, argument = match.group(1, 2, 3)
        return argument if operator == ":-" else "a-value"

    return re.sub(r"\$\$|\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def deep_interpolated(value):
    if isinstance(value, dict):
        return {name: deep_interpolated(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [deep_interpolated(inner) for inner in value]
    return interpolated(value) if isinstance(value, str) else value


def compose(path, faults):
    with open(path) as file:
        text = file.read()
    [document] = load(text)
    document = deep_interpolated(document)
    try:
        compose_spec.PyCompose.from_json(json.dumps(document)).validate()
    except Exception as error:
        faults.append(f"{path}: {error}")
    return document


def main():
    order, faults = json.load(sys.stdin), []
    answer = {"cases": {}, "notes": {}, "refused": {}, "compose": {}, "faults": faults}
    for name, path in order["cases"].items():
        with open(path) as file:
            [values] = load(file.read())
        rendered = render(order["chart"], name, values, order["versions"], faults)
        answer["cases"][name], answer["notes"][name] = rendered
    for name, text in order["refused"].items():
        [values] = load(text)
        try:
            helm.Chart.load(order["chart"]).render(values, name="test", namespace="ads")
            answer["refused"][name] = None
        except Exception as error:
            answer["refused"][name] = str(error)
    for path in order["compose"]:
        answer["compose"][path] = compose(path, faults)
    json.dump(answer, sys.stdout)


main()
