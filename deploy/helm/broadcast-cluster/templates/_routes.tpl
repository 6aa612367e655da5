{{/* Paths that clients may reach, as a YAML list of {path, type, service, port}. */}}
{{- define "broadcast.exposed" -}}
{{- $name := include "broadcast.fullname" . -}}
{{- $paths := .Values.exposure.paths -}}
{{- if dig "grpc_web" "enabled" false .Values.config -}}{{- $paths = append $paths "/broadcast.edge.v1.Edge" -}}{{- end -}}
{{- if .Values.exposure.api -}}{{- $paths = append $paths "/api" -}}{{- end -}}
{{- if .Values.exposure.metrics -}}{{- $paths = append $paths "/metrics" -}}{{- end -}}
{{- range $paths }}
- {path: {{ . | quote }}, exact: false, service: {{ $name }}, port: {{ $.Values.service.port }}}
{{- end }}
{{- if .Values.exposure.discover }}
- {path: /discover, exact: true, service: {{ $name }}-coordinator, port: {{ include "broadcast.port" (list . "control") }}}
{{- end }}
{{- end -}}
