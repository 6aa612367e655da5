{{/* A PodDisruptionBudget; call with a list of the root, its name, the component and the values. */}}
{{- define "broadcast.pdb" -}}
{{- $pdb := index . 3 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "broadcast.labels" (list (index . 0) (index . 2)) | nindent 4 }}
spec:
  # One eviction at a time, the next when the replacement is ready: emptying machines cannot empty the cluster.
  {{- if not (kindIs "invalid" $pdb.minAvailable) }}
  minAvailable: {{ $pdb.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $pdb.maxUnavailable }}
  {{- end }}
  {{- if ne (index . 2) "nats" }}
  # A pod that never became ready has no clients and keeps no machine from being emptied.
  unhealthyPodEvictionPolicy: AlwaysAllow
  {{- end }}
  selector:
    matchLabels:
      {{- include "broadcast.selector" (list (index . 0) (index . 2)) | nindent 6 }}
{{- end -}}
