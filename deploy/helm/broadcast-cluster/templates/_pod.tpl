{{/* What the pods of every component have in common; call with a list of the root, the component and its values. */}}
{{- define "broadcast.podSpec" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "broadcast.serviceAccount" $root }}
automountServiceAccountToken: false
# Kubernetes would set variables such as BROADCAST_PORT for every Service, which look like options.
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne $component "test" }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    # A cluster with too few machines should have a crowded one, not a pod that cannot be placed.
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "broadcast.selector" (list $root $component) | nindent 8 }}
    {{- if ne $component "nats" }}
    # Each revision by itself: in a rollout the pods that are about to go should not push the new ones together.
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Environment of the program; call with a list of the root, the component's section in the config, the address at
     which others reach the pod, and more variables. Keys and passwords come from here, and the configuration
     file has none. */}}
{{- define "broadcast.env" -}}
{{- $root := index . 0 -}}
{{- $section := index . 1 -}}
{{- $prefix := printf "BROADCAST_%s" (upper $section) -}}
{{- $more := index . 3 -}}
{{- $named := list -}}
{{- range $more -}}
{{- $named = append $named .name -}}
{{- end -}}
env:
  - name: {{ $prefix }}_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
  {{- $url := printf "%s_PUBLIC_URL" $prefix }}
  {{- if not (or (has $url $named) (dig $section "public_url" "" $root.Values.config)) }}
  # No other pod can resolve a pod's host name, which is what the program would say.
  - name: {{ $url }}
    value: {{ index . 2 | quote }}
  {{- end }}
  {{- with $more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
envFrom:
  - secretRef:
      name: {{ include "broadcast.secretName" $root }}
{{- end -}}

{{/* Annotations that start new pods when what they read at their start has changed. */}}
{{- define "broadcast.podAnnotations" -}}
{{- $root := index . 0 -}}
checksum/config: {{ include "broadcast.config" $root | sha256sum }}
{{- if not $root.Values.secret.existingSecret }}
checksum/secret: {{ $root.Values.secret.values | toJson | sha256sum }}
{{- end }}
{{- with (index . 1).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
