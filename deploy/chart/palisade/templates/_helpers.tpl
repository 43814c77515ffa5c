{{/* Labels of every object. */}}
{{- define "palisade.labels" -}}
app.kubernetes.io/name: palisade
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels by which a workload finds its pods; the argument is its component. They never change. */}}
{{- define "palisade.selector" -}}
app.kubernetes.io/name: palisade
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* The reference of an image, from a list: the context, and the image's name. */}}
{{- define "palisade.image" -}}
{{- $context := index . 0 -}}
{{- with $context.Values.image -}}
{{ .repository }}/{{ index $ 1 }}:{{ .tag | default $context.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What the template of every pod begins with. */}}
{{- define "palisade.pod" -}}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The address to listen on, from a list: the port, and whether other hosts may connect. */}}
{{- define "palisade.listen" -}}
{{ if index . 1 }}:{{ else }}127.0.0.1:{{ end }}{{ index . 0 }}
{{- end }}

{{/* The probes of a container, from the same list. */}}
{{- define "palisade.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: {{ index . 0 }}{{ if not (index . 1) }}, host: 127.0.0.1{{ end }}}
  initialDelaySeconds: 15
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ index . 0 }}{{ if not (index . 1) }}, host: 127.0.0.1{{ end }}}
  periodSeconds: 2
  timeoutSeconds: 5
{{- end }}

{{/* What writes the network configuration with the CNI plugin. */}}
{{- define "palisade.installCNI" -}}
- /palisade-install
- cni
- -conf-dir=/host/conf
- -on-agent-down={{ .Values.cni.onAgentDown }}
- -timeout={{ .Values.cni.timeout }}
{{- end }}

{{/* Names of the other engines that run in the cluster, one a line. */}}
{{- define "palisade.engines" -}}
{{- $daemonsets := (lookup "apps/v1" "DaemonSet" "" "").items | default list }}
{{- range $engine := (.Files.Get "files/engines.yaml" | fromYaml).engines }}
{{- $found := false }}
{{- range $want := $engine.daemonsets }}
{{- range $daemonset := $daemonsets }}
{{- if eq $daemonset.metadata.name $want.name }}
{{- range $container := $daemonset.spec.template.spec.containers }}
{{- $words := concat ($container.command | default list) ($container.args | default list) }}
{{- if and (or (not $want.container) (eq $want.container $container.name))
           (or (not $want.argument) (has $want.argument $words))
           (not (and $want.without (has $want.without $words))) }}
{{- $found = true }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $found }}
{{ $engine.name }}
{{- end }}
{{- end }}
{{- end }}

{{/* "true" if policies are enforced, else empty. */}}
{{- define "palisade.enforced" -}}
{{- $choice := .Values.enableNetworkPolicy | toString }}
{{- if .Values.cleanup }}
{{- else if eq $choice "true" -}}
true
{{- else if eq $choice "auto" }}
{{- if lookup "apps/v1" "DaemonSet" .Release.Namespace "palisade-agent" -}}
true
{{- else if not (include "palisade.engines" . | trim) -}}
true
{{- end }}
{{- end }}
{{- end }}
