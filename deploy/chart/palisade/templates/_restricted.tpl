{{/* The security context of a container on a node: root, since only root can be given capabilities, but without any. */}}
{{- define "palisade.restricted" -}}
{{- with .Values.agent.seLinuxOptions -}}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{ end -}}
runAsUser: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* That of a container that writes to the folders of CNI plugins, which on some nodes belong to another user. */}}
{{- define "palisade.writesCNI" -}}
{{ include "palisade.restricted" . }}
  add: [DAC_OVERRIDE]
{{- end }}
