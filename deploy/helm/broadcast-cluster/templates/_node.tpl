{{/* The sets of nodes as a dictionary under "sets": name in values.yaml -> component, name, flags and values. */}}
{{- define "broadcast.nodeSets" -}}
{{- $name := include "broadcast.fullname" . -}}
{{- $sets := dict "nodes" (dict "component" "node" "name" $name "serve" "http" "values" .Values.nodes) -}}
{{- if .Values.grpcNodes.enabled -}}
{{- $values := mergeOverwrite (deepCopy .Values.nodes) (deepCopy (omit .Values.grpcNodes "enabled")) -}}
{{- $_ := set $sets "grpcNodes" (dict "component" "grpc-node" "name" (printf "%s-grpc" $name) "serve" "grpc" "values" $values) -}}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}

{{/* The Deployment of a set of nodes; call with a list of the root, the set and its name in values.yaml. */}}
{{- define "broadcast.nodeDeployment" -}}
{{- $root := index . 0 -}}
{{- $set := index . 1 -}}
{{- $values := $set.values -}}
{{- $timing := include "broadcast.timing" (list $root $values (index . 2)) | fromYaml -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $set.name }}
  labels:
    {{- include "broadcast.labels" (list $root $set.component) | nindent 4 }}
spec:
  {{- if $values.autoscaling.enabled }}
  {{- /* As many as there are. Left out, the number would go with the last manifest that had it, when autoscaling is switched
         on, Kubernetes would put 1 in its place, and all nodes but one would drain. Where nothing can be looked up it is
         left out all the same: the least number, at each rendering, would undo what the autoscaler did. */}}
  {{- with dig "spec" "replicas" 0 (lookup "apps/v1" "Deployment" $root.Release.Namespace $set.name) }}
  replicas: {{ int . }}
  {{- end }}
  {{- else }}
  replicas: {{ $values.replicas }}
  {{- end }}
  # Ready is not yet proven: a pod that falls over when clients come should stop the rollout at the first ones.
  minReadySeconds: {{ $values.minReadySeconds }}
  # Above the drain, or a rollout that only waits for clients to leave would be reported as failed.
  progressDeadlineSeconds: {{ $timing.progressDeadline }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "broadcast.selector" (list $root $set.component) | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      # All new pods first, then the old ones drain together: a client moves once. A smaller surge costs fewer
      # pods for the time of a rollout, and sends most clients to pods that end next.
      maxSurge: {{ $values.maxSurge }}
      # Never fewer nodes than there should be.
      maxUnavailable: {{ $values.maxUnavailable }}
  template:
    metadata:
      labels:
        {{- include "broadcast.labels" (list $root $set.component) | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- include "broadcast.podAnnotations" (list $root $values) | nindent 8 }}
    spec:
      {{- include "broadcast.podSpec" (list $root $set.component $values) | nindent 6 }}
      # config.shutdown.timeout and a margin: the node's own deadline comes before SIGKILL.
      terminationGracePeriodSeconds: {{ $timing.grace }}
      containers:
        - name: node
          image: {{ include "broadcast.image" (list $root.Values.image $root.Chart.AppVersion) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [node, --serve, {{ $set.serve }}, --config, /etc/broadcast/config.yaml]
          {{- $url := printf "%s://$(POD_IP):%s" (include "broadcast.scheme" $root) (include "broadcast.port" (list $root "http")) }}
          {{- include "broadcast.env" (list $root "node" (default $url $values.publicUrl) $values.extraEnv) | nindent 10 }}
          ports:
            - name: http
              containerPort: {{ include "broadcast.port" (list $root "http") }}
            {{- if and (eq $set.serve "http") (include "broadcast.http3" $root) }}
            - name: http3
              containerPort: {{ include "broadcast.port" (list $root "http") }}
              protocol: UDP
            {{- end }}
            {{- if eq $set.serve "grpc" }}
            - name: grpc
              containerPort: {{ include "broadcast.port" (list $root "grpc") }}
            {{- end }}
          # No preStop hook: on SIGTERM the node leaves rotation with its port open, waits until nobody comes any
          # more, and then sends its clients away at the coordinator's pace. A sleep before it would only take
          # from the grace period.
          startupProbe:
            httpGet: {path: /livez, port: http, scheme: {{ include "broadcast.scheme" $root | upper }}}
            periodSeconds: 2
            failureThreshold: 30
          # Stays true while the node drains or NATS is away: killing it then would drop clients for nothing.
          livenessProbe:
            httpGet: {path: /livez, port: http, scheme: {{ include "broadcast.scheme" $root | upper }}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          # False while it drains, before NATS was reached, and when NATS has been away for broker.lost_max_s.
          readinessProbe:
            httpGet: {path: /readyz, port: http, scheme: {{ include "broadcast.scheme" $root | upper }}}
            periodSeconds: 3
            timeoutSeconds: 3
            failureThreshold: 2
          securityContext:
            {{- toYaml $root.Values.containerSecurityContext | nindent 12 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/broadcast, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ include "broadcast.fullname" $root }}
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}
