//! What kwok's kubelets make of pods, beyond its own Stages.

use std::time::Duration;

/// Pods with this annotation, `"true"`, end by themselves where [`completing`] is part of kwok's configuration.
pub const ENDS: &str = "testbed/ends";

/// A kwok Stage: pods that are annotated with [`ENDS`] succeed some time after they run. kwok itself completes only pods that
/// a Job owns, and delegates belong to a PodChaperon.
pub fn completing(after: Duration, jitter: Duration) -> String {
    let (after, jitter) = (after.as_millis(), (after + jitter).as_millis());
    format!(
        r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {{name: complete-when-asked}}
spec:
  resourceRef: {{apiGroup: v1, kind: Pod}}
  selector:
    matchAnnotations: {{"{ENDS}": "true"}}
    matchExpressions:
    - {{key: .metadata.deletionTimestamp, operator: DoesNotExist}}
    - {{key: .status.phase, operator: In, values: [Running]}}
  delay: {{durationMilliseconds: {after}, jitterDurationMilliseconds: {jitter}}}
  next:
    statusTemplate: |
      {{{{ $now := Now }}}}
      conditions:
      - {{lastProbeTime: null, lastTransitionTime: {{{{ $now | Quote }}}}, reason: PodCompleted, status: "False", type: Ready}}
      phase: Succeeded
"#
    )
}
