{{- define "clickwire.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Which pods are meant: of a dict of root and component. */}}
{{- define "clickwire.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "clickwire.labels" -}}
{{ include "clickwire.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "clickwire.podMetadata" -}}
labels:
  {{- include "clickwire.labels" . | nindent 2 }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/path: /metrics
  prometheus.io/port: {{ .port | quote }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What all pods have, beside containers and volumes. */}}
{{- define "clickwire.podSpec" -}}
serviceAccountName: {{ include "clickwire.name" .root }}
# The programs never speak to Kubernetes.
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "clickwire.selector" $ | nindent 8 }}
  {{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What all containers have; of a dict of root, program, port (the operators'). */}}
{{- define "clickwire.container" -}}
name: {{ .program }}
image: {{ printf "%sclickwire-%s:%s" .root.Values.image.prefix .program (default .root.Chart.AppVersion .root.Values.image.tag) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
startupProbe:
  httpGet: { path: /livez, port: operators }
  periodSeconds: 2
  # A spool is read as a whole when it is opened.
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: operators }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: operators }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/* Variables: the settings, a group's before the program's before those that are shared; secrets by the names of
     their files. Of a dict of root, program and settings. */}}
{{- define "clickwire.environment" -}}
{{- $program := index .root.Values.settings .program -}}
{{- $settings := merge (dict) (default (dict) .settings) $program .root.Values.settings.shared -}}
- { name: CLICKWIRE_PARTITIONS, value: {{ int .root.Values.partitions | quote }} }
{{- range $name, $value := $settings }}
{{- if ne $value "" }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}
{{- range index .root.Values.secret .program }}
- { name: {{ . }}_FILE, value: /etc/clickwire/secret/{{ . }} }
{{- end }}
{{- end -}}

{{/* The volume of the files with secrets. */}}
{{- define "clickwire.secretVolume" -}}
- name: secret
  secret:
    secretName: {{ required "secret.name: a Secret that holds the settings which are secrets" .root.Values.secret.name }}
    # Of the pod's group, which the program has.
    defaultMode: 0440
    items:
      {{- range index .root.Values.secret .program }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end -}}

{{/* Replicas, unless an autoscaler has them. */}}
{{- define "clickwire.replicas" -}}
{{- if not .autoscaling.enabled }}
replicas: {{ .replicas }}
{{- end }}
{{- end -}}

{{/* Of a dict of root, component, kind, name and autoscaling. */}}
{{- define "clickwire.autoscaler" -}}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) -}}
{{- fail (printf "%s: autoscaling.minReplicas is more than maxReplicas" .component) -}}
{{- end -}}
{{- if not (or .autoscaling.cpuPercent .autoscaling.metrics) -}}
{{- fail (printf "%s: autoscaling by nothing: set cpuPercent or metrics" .component) -}}
{{- end -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels:
    {{- include "clickwire.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: {{ .kind }}, name: {{ .name }} }
  minReplicas: {{ .autoscaling.minReplicas }}
  maxReplicas: {{ .autoscaling.maxReplicas }}
  metrics:
    {{- with .autoscaling.cpuPercent }}
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ . }} }
    {{- end }}
    {{- range $metric, $value := .autoscaling.metrics }}
    - type: Pods
      pods:
        metric: { name: {{ $metric }} }
        target: { type: AverageValue, averageValue: {{ $value | quote }} }
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 30
      policies:
        - { type: Percent, value: 100, periodSeconds: 60 }
        - { type: Pods, value: 2, periodSeconds: 60 }
    scaleDown:
      stabilizationWindowSeconds: {{ .autoscaling.shrinkAfterSeconds }}
      policies:
        - { type: Pods, value: 1, periodSeconds: 300 }
{{- end -}}

{{- define "clickwire.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "clickwire.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready serves nobody: it never keeps a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "clickwire.selector" . | nindent 6 }}
{{- end -}}

{{/* Peers on ports; of a dict of ports, peers, side (from, to), protocols. */}}
{{- define "clickwire.peers" -}}
- ports:
    {{- range $port := .ports }}
    {{- range default (list "TCP") $.protocols }}
    - { port: {{ $port }}, protocol: {{ . }} }
    {{- end }}
    {{- end }}
  {{- with .peers }}
  {{ $.side }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
