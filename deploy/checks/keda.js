// Validates the ScaledObjects of a rendered overlay (JSON lines on standard input) against KEDA's own schema, which lets
// unknown fields pass; so those that are used are named here as well.
const { createInterface } = require("node:readline");
const { ScaledObject } = require("@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject");

const KNOWN = {
  spec: ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback", "triggers", "advanced"],
  scaleTargetRef: ["name"],
  fallback: ["failureThreshold", "replicas"],
  // The metrics-api scaler: keda.sh/docs, "Metrics API".
  "metrics-api": ["url", "valueLocation", "targetValue"],
};

function unknown(where, object, names) {
  return Object.keys(object)
    .filter((name) => !names.includes(name))
    .map((name) => `${where}: unknown field ${name}`);
}

let seen = 0;
createInterface({ input: process.stdin }).on("line", (line) => {
  seen += 1;
  const object = JSON.parse(line);
  new ScaledObject(object).validate();
  const { spec } = object;
  const wrong = [
    ...unknown("spec", spec, KNOWN.spec),
    ...unknown("spec.scaleTargetRef", spec.scaleTargetRef, KNOWN.scaleTargetRef),
    ...unknown("spec.fallback", spec.fallback ?? {}, KNOWN.fallback),
    ...spec.triggers.flatMap(({ type, metadata }, i) =>
      type in KNOWN ? unknown(`spec.triggers[${i}].metadata`, metadata, KNOWN[type]) : [`unknown trigger ${type}`],
    ),
  ];
  if (wrong.length > 0) {
    console.error(`ScaledObject ${object.metadata.name}: ${wrong.join("; ")}`);
    process.exitCode = 1;
  }
}).on("close", () => {
  if (seen === 0) {
    console.error("no ScaledObject to validate");
    process.exitCode = 1;
  }
});
