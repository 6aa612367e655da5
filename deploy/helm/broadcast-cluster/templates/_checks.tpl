{{/* What must hold between values, said in words where it does not. Included by configmap.yaml, which every
     installation has. */}}
{{- define "broadcast.checks" -}}
{{- $url := dig "broker" "nats" "url" "" .Values.config -}}
{{- $memory := eq (dig "broker" "type" "nats" .Values.config) "memory" -}}
{{- if $memory -}}
{{- fail "config.broker.type is memory: nodes would not hear of each other. Leave it out, it is nats" -}}
{{- end -}}
{{- range list "http_server" "coordinator" -}}
{{- if dig . "tls" "client_ca_pem" "" $.Values.config -}}
{{- fail (printf "config.%s.tls.client_ca_pem asks everybody for a certificate, and the kubelet has none to show to probes: ask for them at the Ingress or Gateway" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.nats.enabled $url -}}
{{- fail "nats.enabled is true and config.broker.nats.url names other servers: set nats.enabled to false, or leave the address out" -}}
{{- end -}}
{{- if not (or .Values.nats.enabled $url .Values.secret.existingSecret (hasKey .Values.secret.values "BROADCAST_BROKER_NATS_URL")) -}}
{{- fail "nats.enabled is false and no servers are named: set config.broker.nats.url, or BROADCAST_BROKER_NATS_URL in the secret" -}}
{{- end -}}
{{- if and .Values.nats.auth (not .Values.secret.existingSecret) -}}
{{- range concat (list "BROADCAST_BROKER_NATS_USER" "BROADCAST_BROKER_NATS_PASSWORD") (ternary (list) (list "NATS_ROUTES_PASSWORD") .Values.secret.generate) -}}
{{- $value := get $.Values.secret.values . -}}
{{- if not $value -}}
{{- fail (printf "nats.auth is true and %s is not in secret.values: give it, or an existingSecret that has it" .) -}}
{{- end -}}
{{- /* It stands between single quotes, in which nats.conf knows no escapes; and $2 begins a hash. */}}
{{- if regexMatch "['\r\n]|^[$]2" $value -}}
{{- fail (printf "%s has a single quote or a line break in it, or $2 at its beginning, which nats.conf cannot take: choose another one" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if lt (int .Values.nats.terminationGracePeriodSeconds) (add (int .Values.nats.lameDuckSeconds) 15) -}}
{{- fail (printf "nats.terminationGracePeriodSeconds is %v and nats.lameDuckSeconds is %v: a server that is killed in its lame duck time drops the clients that are still on it. Give at least 15 s more" .Values.nats.terminationGracePeriodSeconds .Values.nats.lameDuckSeconds) -}}
{{- end -}}
{{- if and .Values.nats.gateway.remotes (not .Values.nats.gateway.name) -}}
{{- fail "nats.gateway.remotes names other clusters and nats.gateway.name is empty: give this one the name by which they know it" -}}
{{- end -}}
{{- if and .Values.nats.gateway.name .Values.nats.leafNodes.remotes -}}
{{- fail "nats.gateway and nats.leafNodes.remotes are both given: a cluster is part of a super-cluster, with streams, or a leaf of one, without" -}}
{{- end -}}
{{- if ne .Values.nats.sites.type "ClusterIP" -}}
{{- /* Gateways ask for certificates wherever they have TLS; leaf nodes where they are told to, or for a password. */}}
{{- if and .Values.nats.gateway.name (not .Values.nats.gateway.tls.ca_file) -}}
{{- fail "nats.gateway.name opens port 7222 to outside, where whoever comes may do everything: give nats.gateway.tls cert_file, key_file and ca_file, or set nats.sites.type to ClusterIP" -}}
{{- end -}}
{{- $tls := .Values.nats.leafNodes.tls -}}
{{- if and .Values.nats.leafNodes.accept (not (and $tls.cert_file (or .Values.nats.auth (and $tls.verify $tls.ca_file)))) -}}
{{- fail "nats.leafNodes.accept opens port 7422 to outside, where whoever comes may do everything: give nats.leafNodes.tls cert_file, key_file, ca_file and verify: true, or nats.auth beside the certificate, or set nats.sites.type to ClusterIP" -}}
{{- end -}}
{{- end -}}
{{- if lt (int .Values.coordinator.terminationGracePeriodSeconds) (add (int .Values.coordinator.preStopSeconds) 10) -}}
{{- fail (printf "coordinator.terminationGracePeriodSeconds is %v and coordinator.preStopSeconds is %v, which is part of it: give at least 10 s more" .Values.coordinator.terminationGracePeriodSeconds .Values.coordinator.preStopSeconds) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled is true and ingress.hosts is empty: name the host that clients use" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- fail "gateway.enabled is true and gateway.parentRefs is empty: name the Gateway to attach to" -}}
{{- end -}}
{{- if and .Values.gateway.enabled .Values.grpcNodes.enabled (not (or .Values.gateway.grpc.hostnames .Values.gateway.grpc.parentRefs)) -}}
{{- fail "gateway.grpc is empty: a Gateway may accept only one of an HTTPRoute and a GRPCRoute for the same host. Give gateway.grpc.hostnames, or gateway.grpc.parentRefs" -}}
{{- end -}}
{{- if and .Values.exposure.discover (not .Values.coordinator.enabled) -}}
{{- fail "exposure.discover is true and coordinator.enabled is false: nobody would answer" -}}
{{- end -}}
{{- $fixed := list "BROADCAST_SHUTDOWN_TIMEOUT" "BROADCAST_HTTP_SERVER_PORT" "BROADCAST_GRPC_SERVER_PORT" "BROADCAST_COORDINATOR_PORT" "BROADCAST_COORDINATOR_GRPC_PORT" "BROADCAST_COORDINATOR_TLS_ENABLED" "BROADCAST_COORDINATOR_TLS_CLIENT_CA_PEM" -}}
{{- $set := keys .Values.secret.values -}}
{{- range concat .Values.nodes.extraEnv (default (list) .Values.grpcNodes.extraEnv) .Values.coordinator.extraEnv -}}
{{- $set = append $set .name -}}
{{- end -}}
{{- range $set -}}
{{- if has . $fixed -}}
{{- fail (printf "%s is set as an environment variable, where the chart cannot read it: grace periods, Services and probes follow from it. Set it in config" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of one set of nodes; call with a list of the root, the set's values and their name in values.yaml.
     What follows from config.shutdown.timeout, as YAML: grace, progressDeadline, scaleDownPeriod. */}}
{{- define "broadcast.timing" -}}
{{- $root := index . 0 -}}
{{- $set := index . 1 -}}
{{- $name := index . 2 -}}
{{- $drain := int (include "broadcast.shutdownSeconds" $root) -}}
{{- $margin := int $set.graceMarginSeconds -}}
{{- if lt $margin 5 -}}
{{- fail (printf "%s.graceMarginSeconds is %d: give 5 or more, since a node whose deadline and SIGKILL coincide is killed in its last goodbyes" $name $margin) -}}
{{- end -}}
{{- $grace := add $drain $margin -}}
{{- if not (kindIs "invalid" $set.terminationGracePeriodSeconds) -}}
{{- $grace = int $set.terminationGracePeriodSeconds -}}
{{- if lt $grace (add $drain 5) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d and config.shutdown.timeout is %d s: the node would be killed before it has sent its clients away. Give at least %d, or leave it out and it is computed" $name $grace $drain (add $drain 5)) -}}
{{- end -}}
{{- end -}}
{{- $ready := int $set.minReadySeconds -}}
{{- $progress := add $grace $ready 300 -}}
{{- if not (kindIs "invalid" $set.progressDeadlineSeconds) -}}
{{- $progress = int $set.progressDeadlineSeconds -}}
{{- if le $progress (add $grace $ready) -}}
{{- fail (printf "%s.progressDeadlineSeconds is %d, and a drain may take %d s and minReadySeconds %d: a healthy rollout would be reported as failed. Give more than %d, or leave it out and it is computed" $name $progress $grace $ready (add $grace $ready)) -}}
{{- end -}}
{{- end -}}
{{- $period := max 60 $grace -}}
{{- $scaling := $set.autoscaling -}}
{{- if not (kindIs "invalid" $scaling.scaleDown.periodSeconds) -}}
{{- $period = int $scaling.scaleDown.periodSeconds -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- if lt $period $grace -}}
{{- fail (printf "%s.autoscaling.scaleDown.periodSeconds is %d and a drain may take %d s: the next pod would go while the last one still sends its clients to it. Give at least %d, or leave it out and it is computed" $name $period $grace $grace) -}}
{{- end -}}
{{- if gt $period 1800 -}}
{{- fail (printf "%s: autoscaling may wait 1800 s between two pods, and a drain may take %d s: shorten config.shutdown.timeout, or scale by hand" $name $period) -}}
{{- end -}}
{{- if lt (int $scaling.scaleDown.stabilizationWindowSeconds) $grace -}}
{{- fail (printf "%s.autoscaling.scaleDown.stabilizationWindowSeconds is %v and a drain may take %d s: clients that are still moving would be taken for load that went away. Give at least %d" $name $scaling.scaleDown.stabilizationWindowSeconds $grace $grace) -}}
{{- end -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- fail (printf "%s.autoscaling.maxReplicas is %v, below minReplicas %v" $name $scaling.maxReplicas $scaling.minReplicas) -}}
{{- end -}}
{{- if not (or (int $scaling.connections.target) $scaling.cpu) -}}
{{- fail (printf "%s.autoscaling looks at nothing: give connections.target or cpu" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (has (toString $set.maxUnavailable) (list "0" "0%")) (has (toString $set.maxSurge) (list "0" "0%")) -}}
{{- fail (printf "%s.maxSurge and maxUnavailable are both 0: no pod could ever be replaced" $name) -}}
{{- end -}}
{{- include "broadcast.checkPdb" (list $set (ternary $scaling.minReplicas $set.replicas $scaling.enabled) $name) -}}
grace: {{ $grace }}
progressDeadline: {{ $progress }}
scaleDownPeriod: {{ $period }}
{{- end -}}

{{/* That a PodDisruptionBudget allows an eviction now and then; call with the set, its least replicas, its name. */}}
{{- define "broadcast.checkPdb" -}}
{{- $pdb := (index . 0).pdb -}}
{{- $least := int (index . 1) -}}
{{- $name := index . 2 -}}
{{- if $pdb.enabled -}}
{{- $min := $pdb.minAvailable -}}
{{- if not (kindIs "invalid" $min) -}}
{{- $needed := int $min -}}
{{- if hasSuffix "%" (toString $min) -}}
{{- $needed = int (ceil (divf (mulf (float64 (trimSuffix "%" $min)) $least) 100)) -}}
{{- end -}}
{{- if ge $needed $least -}}
{{- fail (printf "%s.pdb.minAvailable is %v of %d pods: none could ever be evicted, and no machine emptied. Give less" $name $min $least) -}}
{{- end -}}
{{- else if has (toString $pdb.maxUnavailable) (list "0" "0%") -}}
{{- fail (printf "%s.pdb.maxUnavailable is 0: no pod could ever be evicted, and no machine emptied. Give 1 or more, or pdb.enabled: false" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
