"""Values that cannot work are refused before anything is installed, with a sentence."""

import json
import re

import jsonschema
import pytest
import yaml

from core.settings import SAFE_LOADER
from tests.helm.charts import CHART, VALUES, template

pytestmark = [pytest.mark.usefixtures("with_helm"), pytest.mark.xdist_group("helm")]

SENTENCES = [
    ("minimal", "image.repository=", "name the registry that you pushed the image to"),
    ("minimal", "settings.log=sqlite:///data/log.db", r"settings\.log must begin with kafka://"),
    ("minimal", "settings.ledger=", r"settings\.ledger must begin with postgresql://"),
    ("minimal", "settings.ledger=postgresql://me:hidden@host/db", "put the password into a Secret"),
    ("minimal", "settings.log=kafka://me@kafka:9092/s", "put the password into a Secret"),
    ("minimal", "settings.artifacts=file:///data/artifacts", "pods share nothing but the network"),
    ("minimal", "settings.memory=memory://", r"settings\.memory must begin with s3://"),
    ("minimal", "settings.log=kafka://k:9092/s?user=a", r"secrets\.log\.SLOPEWATCH_KAFKA_PASSWORD"),
    ("minimal", "settings.smtp.user=a", r"secrets\.notifiers\.SLOPEWATCH_SMTP_PASSWORD"),
    ("minimal", "inference.replicas=9", r"8 partitions .* no more than 8 pods"),
    ("minimal", "alerting.replicas=9", r"alerting\.replicas is 9"),
    ("state_on_disk", "inference.replicas=2", "several inference.replicas need s3://"),
    (
        "state_on_disk",
        "inference.persistence.enabled=false",
        "every restart reads years of history",
    ),
    ("minimal", "alerting.terminationGracePeriodSeconds=300", r"poll_s \(300 s\).*give it more"),
    ("several_workers", "inference.terminationGracePeriodSeconds=330", r"poll_s \(600 s\)"),
    ("minimal", "projector.enabled=true", "needs settings.projection"),
    ("minimal", "existingSitesConfigMap=a", "both given: keep one"),
    ("minimal", "sites=null", "there is no site"),
    ("minimal", "settings.cap_folder=/srv/cap", "mount a disk that stays at /srv/cap"),
    ("everything", "alerting.replicas=2", "each would write half of the feed"),
    ("tls_and_logins", "certificates.log=null", r"list its key in certificates\.log"),
    ("minimal", "env.SLOPEWATCH_KAFKA_PASSWORD=hidden", "env.* looks like a secret"),
    ("minimal", "env.AWS_SECRET_ACCESS_KEY=hidden", "env.* looks like a secret"),
    ("minimal", "env.SLOPEWATCH_LOG=x", "is a setting: write it in settings"),
]
BY_SCHEMA = [
    ("secrets.ledger.SLOPEWATCH_LEDGER_PASSWORD", "hidden", "is not of type 'object'"),
    ("secrets.ledger.PGPASSWORD", {"secret": "a", "key": "b"}, "'PGPASSWORD' was unexpected"),
    ("secrets.notifiers.A_WEBHOOK", {"value": "hidden"}, "'value' was unexpected"),
    ("secrets.notifiers.A_WEBHOOK", {"secret": "a"}, "'key' is a required property"),
    ("certificates.log", [{"keys": ["ca.crt"]}], "not valid under any of the given schemas"),
    ("env.lower", "a", "'lower' does not match"),
    ("replicas", 3, "'replicas' was unexpected"),
    ("settings.metrics_port", 80, "'metrics_port' was unexpected"),
    ("settings.partitions", 3, "'partitions' was unexpected"),
    ("runAsUser", 0, "less than the minimum"),
    ("inference.replicas", 0, "less than the minimum"),
    ("inference.resources.limit", {}, "'limit' was unexpected"),
    ("training.schedule", "@monthly", "does not match"),
    ("metrics.port", 80, "less than the minimum"),
    ("image.digest", "latest", "does not match"),
    ("sites", {"a/b.yaml": ""}, "'a/b.yaml' does not match"),
]


def said_of(name, change):
    done = template("--values", VALUES[name], "--set", change)
    assert done.returncode != 0, f"{change} is accepted"
    assert done.stdout == ""
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(("name", "change", "sentence"), SENTENCES)
def test_what_cannot_work_is_refused_with_a_sentence(name, change, sentence):
    said = said_of(name, change)
    assert re.search(sentence, said)
    assert "hidden" not in said


def given(name):
    """Values as the schema sees them: those of the chart, changed by those of a file."""

    def merged(into, changes):
        for key, value in changes.items():
            both = isinstance(value, dict) and isinstance(into.get(key), dict)
            into[key] = merged(into[key], value) if both else value
        return into

    files = (CHART / "values.yaml", VALUES[name])
    default, chosen = (
        yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER) for file in files
    )
    return merged(default, chosen)


SCHEMA = jsonschema.Draft7Validator(
    json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
)


@pytest.mark.parametrize(("path", "value", "fault"), BY_SCHEMA)
def test_the_schema_refuses(path, value, fault):
    values = given("minimal")
    assert list(SCHEMA.iter_errors(values)) == []
    place = values
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    assert fault in " ".join(error.message for error in SCHEMA.iter_errors(values))


def test_helm_looks_at_the_schema():
    said = said_of("minimal", "secrets.ledger.SLOPEWATCH_LEDGER_PASSWORD=hidden")
    assert "at '/secrets/ledger/SLOPEWATCH_LEDGER_PASSWORD': got string, want object" in said
    assert "hidden" not in said
