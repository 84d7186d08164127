"""The fields of the kinds that a server has built in, as a table.

A type a line, continued by indentation: its name (``@``: owned as a whole), then its fields. A field is
``name[!][:[+][*]type][%][=default][@]``; ``!`` required, ``+`` written even when it is empty (so are required ones),
``*`` told apart from its zero value (a pointer in the server), ``%`` patch strategy retainKeys, ``@`` a map owned as
a whole, and a type is one of

    str (when none is named), int, num, bool, bytes, time, quantity, intstr, any (what nobody describes)
    Name                another type
    {type}              a map of strings to that type
    [type]              a list, replaced as a whole
    [type|set]          a set; [type|key,key] a list keyed by these fields
    ...~[key]]          strategic merge patch merges it, by ``key`` (else by the only key of the list)
"""

from typing import Final

TYPES: Final = r"""
Affinity nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AggregationRule clusterRoleSelectors:[LabelSelector]
AppArmorProfile localhostProfile:*str type!
CSIVolumeSource driver! fsType:*str nodePublishSecretRef:LocalObjectReference readOnly:*bool volumeAttributes:{str}
Capabilities add:[str] drop:[str]
ClientIPConfig timeoutSeconds:*int
ClusterRole aggregationRule:AggregationRule rules:+[PolicyRule]
ClusterRoleBinding roleRef!:RoleRef subjects:[Subject]
ClusterTrustBundleProjection labelSelector:LabelSelector name:*str optional:*bool path! signerName:*str
Condition lastTransitionTime!:time message! observedGeneration:int reason! status! type!
ConfigMap binaryData:{bytes} data:{str} immutable:*bool
ConfigMapEnvSource name optional:*bool
ConfigMapKeySelector@ key! name optional:*bool
ConfigMapProjection items:[KeyToPath] name optional:*bool
ConfigMapVolumeSource defaultMode:*int=420 items:[KeyToPath] name optional:*bool
Container args:[str] command:[str] env:[EnvVar|name~] envFrom:[EnvFromSource] image imagePullPolicy
  lifecycle:Lifecycle livenessProbe:Probe name! ports:[ContainerPort|containerPort,protocol~containerPort]
  readinessProbe:Probe resizePolicy:[ContainerResizePolicy] resources:+ResourceRequirements restartPolicy:*str
  restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool terminationMessagePath="/dev/termination-log" terminationMessagePolicy="File" tty:bool
  volumeDevices:[VolumeDevice|devicePath~] volumeMounts:[VolumeMount|mountPath~] workingDir
ContainerExtendedResourceRequest containerName! requestName! resourceName!
ContainerPort containerPort!:int hostIP hostPort:int name protocol="TCP"
ContainerResizePolicy resourceName! restartPolicy!
ContainerRestartRule action! exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes operator! values:[int|set]
ContainerState running:ContainerStateRunning terminated:ContainerStateTerminated waiting:ContainerStateWaiting
ContainerStateRunning startedAt:+time
ContainerStateTerminated containerID exitCode!:int finishedAt:+time message reason signal:int startedAt:+time
ContainerStateWaiting message reason
ContainerStatus allocatedResources:{quantity} allocatedResourcesStatus:[ResourceStatus|name~] containerID image!
  imageID! lastState:+ContainerState name! ready!:bool resources:ResourceRequirements restartCount!:int
  started:*bool state:+ContainerState stopSignal:*str user:ContainerUser volumeMounts:[VolumeMountStatus|mountPath~]
ContainerUser linux:LinuxContainerUser
CustomResourceColumnDefinition description format jsonPath! name! priority:int type!
CustomResourceConversion strategy! webhook:WebhookConversion
CustomResourceDefinition spec!:CustomResourceDefinitionSpec status:+CustomResourceDefinitionStatus
CustomResourceDefinitionCondition lastTransitionTime:+time message observedGeneration:int reason status! type!
CustomResourceDefinitionNames categories:[str] kind! listKind plural! shortNames:[str] singular
CustomResourceDefinitionSpec conversion:CustomResourceConversion={"strategy":"None"} group!
  names!:CustomResourceDefinitionNames preserveUnknownFields:bool scope! versions!:[CustomResourceDefinitionVersion]
CustomResourceDefinitionStatus acceptedNames:+CustomResourceDefinitionNames
  conditions:+[CustomResourceDefinitionCondition|type] observedGeneration:int storedVersions:+[str]
CustomResourceDefinitionVersion additionalPrinterColumns:[CustomResourceColumnDefinition] deprecated:bool
  deprecationWarning:*str name! schema:CustomResourceValidation selectableFields:[SelectableField] served!:bool
  storage!:bool subresources:CustomResourceSubresources
CustomResourceSubresourceScale labelSelectorPath:*str specReplicasPath! statusReplicasPath!
CustomResourceSubresourceStatus any
CustomResourceSubresources scale:CustomResourceSubresourceScale status:CustomResourceSubresourceStatus
CustomResourceValidation openAPIV3Schema:JSONSchemaProps
Deployment spec:+DeploymentSpec status:+DeploymentStatus
DeploymentCondition lastTransitionTime:+time lastUpdateTime:+time message reason status! type!
DeploymentSpec minReadySeconds:int paused:bool progressDeadlineSeconds:*int=600 replicas:*int=1
  revisionHistoryLimit:*int=10 selector!:*LabelSelector strategy:+DeploymentStrategy% template!:PodTemplateSpec
DeploymentStatus availableReplicas:int collisionCount:*int conditions:[DeploymentCondition|type~]
  observedGeneration:int readyReplicas:int replicas:int terminatingReplicas:*int unavailableReplicas:int
  updatedReplicas:int
DeploymentStrategy rollingUpdate:RollingUpdateDeployment type
DownwardAPIProjection items:[DownwardAPIVolumeFile]
DownwardAPIVolumeFile fieldRef:ObjectFieldSelector mode:*int path! resourceFieldRef:ResourceFieldSelector
DownwardAPIVolumeSource defaultMode:*int=420 items:[DownwardAPIVolumeFile]
EmptyDirVolumeSource medium sizeLimit:*quantity
Endpoint addresses!:[str|set] conditions:+EndpointConditions deprecatedTopology:{str} hints:EndpointHints
  hostname:*str nodeName:*str targetRef:ObjectReference zone:*str
EndpointAddress@ hostname ip! nodeName:*str targetRef:ObjectReference
EndpointConditions ready:*bool serving:*bool terminating:*bool
EndpointHints forNodes:[ForNode] forZones:[ForZone]
EndpointPort@ appProtocol:*str name:*str="" port:*int protocol:*str="TCP"
EndpointSubset addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointsPort]
EndpointSlice addressType! endpoints:+[Endpoint] ports:+[EndpointPort]
Endpoints subsets:[EndpointSubset]
EndpointsPort@ appProtocol:*str name port!:int protocol="TCP"
EnvFromSource configMapRef:ConfigMapEnvSource prefix secretRef:SecretEnvSource
EnvVar name! value valueFrom:EnvVarSource
EnvVarSource configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
  resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralContainer args:[str] command:[str] env:[EnvVar|name~] envFrom:[EnvFromSource] image imagePullPolicy
  lifecycle:Lifecycle livenessProbe:Probe name! ports:[ContainerPort|containerPort,protocol~containerPort]
  readinessProbe:Probe resizePolicy:[ContainerResizePolicy] resources:+ResourceRequirements restartPolicy:*str
  restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool targetContainerName terminationMessagePath="/dev/termination-log" terminationMessagePolicy="File"
  tty:bool volumeDevices:[VolumeDevice|devicePath~] volumeMounts:[VolumeMount|mountPath~] workingDir
EphemeralVolumeSource volumeClaimTemplate:PersistentVolumeClaimTemplate
Event action count:int eventTime:+time firstTimestamp:+time involvedObject!:ObjectReference lastTimestamp:+time
  message reason related:ObjectReference reportingComponent:+str reportingInstance:+str series:EventSeries
  source:+EventSource type
EventSeries count:int lastObservedTime:+time
EventSource component host
ExecAction command:[str]
ExternalDocumentation description url
FileKeySelector@ key! optional:*bool path! volumeName!
ForNode name!
ForZone name!
GRPCAction port!:int service:+*str
HTTPGetAction host httpHeaders:[HTTPHeader] path="/" port!:intstr scheme="HTTP"
HTTPHeader name! value!
HostAlias hostnames:[str] ip!
HostIP ip!
HostPathVolumeSource path! type:*str=""
IPBlock cidr! except:[str]
ImageVolumeSource pullPolicy reference
ImageVolumeStatus imageRef!
JSONSchemaProps $ref:*str $schema additionalItems:any additionalProperties:any allOf:[JSONSchemaProps]
  anyOf:[JSONSchemaProps] default:any definitions:{JSONSchemaProps} dependencies:{any} description enum:[any]
  example:any exclusiveMaximum:bool exclusiveMinimum:bool externalDocs:ExternalDocumentation format id items:any
  maxItems:*int maxLength:*int maxProperties:*int maximum:*num minItems:*int minLength:*int minProperties:*int
  minimum:*num multipleOf:*num not:JSONSchemaProps nullable:bool oneOf:[JSONSchemaProps] pattern
  patternProperties:{JSONSchemaProps} properties:{JSONSchemaProps} required:[str] title type uniqueItems:bool
  x-kubernetes-embedded-resource:bool x-kubernetes-int-or-string:bool x-kubernetes-list-map-keys:[str]
  x-kubernetes-list-type:*str x-kubernetes-map-type:*str x-kubernetes-preserve-unknown-fields:*bool
  x-kubernetes-validations:[ValidationRule|rule~]
KeyToPath key! mode:*int path!
LabelSelector@ matchExpressions:[LabelSelectorRequirement] matchLabels:{str}
LabelSelectorRequirement key! operator! values:[str]
Lease spec:+LeaseSpec
LeaseSpec acquireTime:time holderIdentity:*str leaseDurationSeconds:*int leaseTransitions:*int preferredHolder:*str
  renewTime:time strategy:*str
Lifecycle postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:*str
LifecycleHandler exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LinuxContainerUser gid!:int supplementalGroups:[int] uid!:int
LoadBalancerIngress hostname ip ipMode:*str ports:[PortStatus]
LoadBalancerStatus ingress:[LoadBalancerIngress]
LocalObjectReference@ name
MatchCondition expression! name!
ModifyVolumeStatus status! targetVolumeAttributesClassName
MutatingWebhook admissionReviewVersions!:[str] clientConfig!:WebhookClientConfig failurePolicy:*str="Fail"
  matchConditions:[MatchCondition|name~] matchPolicy:*str="Equivalent" name! namespaceSelector:LabelSelector={}
  objectSelector:LabelSelector={} reinvocationPolicy:*str="Never" rules:[RuleWithOperations] sideEffects!:*str
  timeoutSeconds:*int=10
MutatingWebhookConfiguration webhooks:[MutatingWebhook|name~]
NFSVolumeSource path! readOnly:bool server!
Namespace spec:+NamespaceSpec status:+NamespaceStatus
NamespaceCondition lastTransitionTime:+time message reason status! type!
NamespaceSpec finalizers:[str]
NamespaceStatus conditions:[NamespaceCondition|type~] phase
NetworkPolicy spec:+NetworkPolicySpec
NetworkPolicyEgressRule ports:[NetworkPolicyPort] to:[NetworkPolicyPeer]
NetworkPolicyIngressRule from:[NetworkPolicyPeer] ports:[NetworkPolicyPort]
NetworkPolicyPeer ipBlock:IPBlock namespaceSelector:LabelSelector podSelector:LabelSelector
NetworkPolicyPort endPort:*int port:*intstr protocol:*str="TCP"
NetworkPolicySpec egress:[NetworkPolicyEgressRule] ingress:[NetworkPolicyIngressRule] podSelector:+LabelSelector
  policyTypes:[str]
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
  requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeAllocatableResourceClaimStatus containers:[str|set] resourceClaimName! resources!:{quantity}
NodeSelector@ nodeSelectorTerms!:[NodeSelectorTerm]
NodeSelectorRequirement key! operator! values:[str]
NodeSelectorTerm@ matchExpressions:[NodeSelectorRequirement] matchFields:[NodeSelectorRequirement]
ObjectFieldSelector@ apiVersion="v1" fieldPath!
ObjectReference@ apiVersion fieldPath kind name namespace resourceVersion uid
PersistentVolumeClaim spec:+PersistentVolumeClaimSpec status:+PersistentVolumeClaimStatus
PersistentVolumeClaimCondition lastProbeTime:+time lastTransitionTime:+time message reason status! type!
PersistentVolumeClaimSpec accessModes:[str] dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference
  resources:+VolumeResourceRequirements selector:LabelSelector storageClassName:*str volumeAttributesClassName:*str
  volumeMode:*str="Filesystem" volumeName
PersistentVolumeClaimStatus accessModes:[str] allocatedResourceStatuses:{str} allocatedResources:{quantity}
  capacity:{quantity} conditions:[PersistentVolumeClaimCondition|type~] currentVolumeAttributesClassName:*str
  modifyVolumeStatus:ModifyVolumeStatus phase
PersistentVolumeClaimTemplate metadata:+ObjectMeta spec!:PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource claimName! readOnly:bool
Pod spec:+PodSpec status:+PodStatus
PodAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodAffinityTerm labelSelector:LabelSelector matchLabelKeys:[str] mismatchLabelKeys:[str]
  namespaceSelector:LabelSelector namespaces:[str] topologyKey!
PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodCertificateProjection certificateChainPath credentialBundlePath keyPath keyType! maxExpirationSeconds:*int
  signerName! userAnnotations:{str}
PodCondition lastProbeTime:+time lastTransitionTime:+time message observedGeneration:int reason status! type!
PodDNSConfig nameservers:[str] options:[PodDNSConfigOption] searches:[str]
PodDNSConfigOption name value:*str
PodExtendedResourceClaimStatus requestMappings!:[ContainerExtendedResourceRequest] resourceClaimName!
PodIP ip!
PodOS name!
PodReadinessGate conditionType!
PodResourceClaim name! resourceClaimName:*str resourceClaimTemplateName:*str
PodResourceClaimStatus name! resourceClaimName:*str
PodSchedulingGate name!
PodSchedulingGroup podGroupName:*str
PodSecurityContext appArmorProfile:AppArmorProfile fsGroup:*int fsGroupChangePolicy:*str runAsGroup:*int
  runAsNonRoot:*bool runAsUser:*int seLinuxChangePolicy:*str seLinuxOptions:SELinuxOptions
  seccompProfile:SeccompProfile supplementalGroups:[int] supplementalGroupsPolicy:*str sysctls:[Sysctl]
  windowsOptions:WindowsSecurityContextOptions
PodSpec activeDeadlineSeconds:*int affinity:Affinity automountServiceAccountToken:*bool
  containers!:[Container|name~] dnsConfig:PodDNSConfig dnsPolicy="ClusterFirst" enableServiceLinks:*bool=true
  ephemeralContainers:[EphemeralContainer|name~] hostAliases:[HostAlias|ip~] hostIPC:bool hostNetwork:bool
  hostPID:bool hostUsers:*bool hostname hostnameOverride:*str imagePullSecrets:[LocalObjectReference|name~]
  initContainers:[Container|name~] nodeName nodeSelector:{str}@ os:PodOS overhead:{quantity} preemptionPolicy:*str
  priority:*int priorityClassName readinessGates:[PodReadinessGate] resourceClaims:[PodResourceClaim|name~]%
  resources:ResourceRequirements restartPolicy="Always" runtimeClassName:*str schedulerName="default-scheduler"
  schedulingGates:[PodSchedulingGate|name~] schedulingGroup:PodSchedulingGroup securityContext:PodSecurityContext={}
  serviceAccount serviceAccountName setHostnameAsFQDN:*bool shareProcessNamespace:*bool subdomain
  terminationGracePeriodSeconds:*int=30 tolerations:[Toleration]
  topologySpreadConstraints:[TopologySpreadConstraint|topologyKey,whenUnsatisfiable~topologyKey]
  volumes:[Volume|name~]%
PodStatus allocatedResources:{quantity} conditions:[PodCondition|type~] containerStatuses:[ContainerStatus]
  ephemeralContainerStatuses:[ContainerStatus] extendedResourceClaimStatus:PodExtendedResourceClaimStatus hostIP
  hostIPs:[HostIP~ip] initContainerStatuses:[ContainerStatus] message
  nodeAllocatableResourceClaimStatuses:[NodeAllocatableResourceClaimStatus] nominatedNodeName observedGeneration:int
  phase podIP podIPs:[PodIP|ip~] qosClass reason resize resourceClaimStatuses:[PodResourceClaimStatus|name~]%
  resources:ResourceRequirements startTime:time
PodTemplateSpec metadata:+ObjectMeta spec:+PodSpec
PolicyRule apiGroups:[str] nonResourceURLs:[str] resourceNames:[str] resources:[str] verbs!:[str]
PortStatus error:*str port!:int protocol!
PreferredSchedulingTerm preference!:NodeSelectorTerm weight!:int
Probe exec:ExecAction failureThreshold:int=3 grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int
  periodSeconds:int=10 successThreshold:int=1 tcpSocket:TCPSocketAction terminationGracePeriodSeconds:*int
  timeoutSeconds:int=1
ProjectedVolumeSource defaultMode:*int=420 sources:+[VolumeProjection]
ResourceClaim name! request
ResourceFieldSelector@ containerName divisor:+quantity resource!
ResourceHealth health message:*str resourceID!
ResourceRequirements claims:[ResourceClaim|name] limits:{quantity} requests:{quantity}
ResourceStatus name! resources:[ResourceHealth|resourceID]
Role rules:+[PolicyRule]
RoleBinding roleRef!:RoleRef subjects:[Subject]
RoleRef@ apiGroup:+str="rbac.authorization.k8s.io" kind! name!
RollingUpdateDeployment maxSurge:*intstr maxUnavailable:*intstr
RollingUpdateStatefulSetStrategy maxUnavailable:*intstr partition:*int
RuleWithOperations apiGroups:[str] apiVersions:[str] operations:[str] resources:[str] scope:*str="*"
SELinuxOptions level role type user
SeccompProfile localhostProfile:*str type!
Secret data:{bytes} immutable:*bool stringData:{str} type="Opaque"
SecretEnvSource name optional:*bool
SecretKeySelector@ key! name optional:*bool
SecretProjection items:[KeyToPath] name optional:*bool
SecretVolumeSource defaultMode:*int=420 items:[KeyToPath] optional:*bool secretName
SecurityContext allowPrivilegeEscalation:*bool appArmorProfile:AppArmorProfile capabilities:Capabilities
  privileged:*bool procMount:*str readOnlyRootFilesystem:*bool runAsGroup:*int runAsNonRoot:*bool runAsUser:*int
  seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
SelectableField jsonPath!
Service spec:+ServiceSpec status:+ServiceStatus
ServiceAccount automountServiceAccountToken:*bool imagePullSecrets:[LocalObjectReference]
  secrets:[ObjectReference|name~]
ServiceAccountTokenProjection audience expirationSeconds:*int=3600 path!
ServicePort appProtocol:*str name nodePort:int port!:int protocol="TCP" targetPort:+intstr
ServiceReference name! namespace! path:*str port:*int=443
ServiceSpec allocateLoadBalancerNodePorts:*bool clusterIP clusterIPs:[str] externalIPs:[str] externalName
  externalTrafficPolicy healthCheckNodePort:int internalTrafficPolicy:*str ipFamilies:[str] ipFamilyPolicy:*str
  loadBalancerClass:*str loadBalancerIP loadBalancerSourceRanges:[str] ports:[ServicePort|port,protocol~port]
  publishNotReadyAddresses:bool selector:{str}@ sessionAffinity="None" sessionAffinityConfig:SessionAffinityConfig
  trafficDistribution:*str type="ClusterIP"
ServiceStatus conditions:[Condition|type~] loadBalancer:+LoadBalancerStatus
SessionAffinityConfig clientIP:ClientIPConfig
SleepAction seconds!:int
StatefulSet spec:+StatefulSetSpec status:+StatefulSetStatus
StatefulSetCondition lastTransitionTime:+time message reason status! type!
StatefulSetOrdinals start:+int
StatefulSetPersistentVolumeClaimRetentionPolicy whenDeleted whenScaled
StatefulSetSpec minReadySeconds:int ordinals:StatefulSetOrdinals
  persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy={"whenDeleted":"Retain","whenScaled":"Retain"}
  podManagementPolicy="OrderedReady" replicas:*int=1 revisionHistoryLimit:*int=10 selector!:*LabelSelector
  serviceName:+str template!:PodTemplateSpec updateStrategy:+StatefulSetUpdateStrategy
  volumeClaimTemplates:[PersistentVolumeClaim]
StatefulSetStatus availableReplicas:+int collisionCount:*int conditions:[StatefulSetCondition|type~]
  currentReplicas:int currentRevision observedGeneration:int readyReplicas:int replicas!:int updateRevision
  updatedReplicas:int
StatefulSetUpdateStrategy rollingUpdate:RollingUpdateStatefulSetStrategy type
Subject@ apiGroup kind! name! namespace
Sysctl name! value!
TCPSocketAction host port!:intstr
Toleration effect key operator tolerationSeconds:*int value
TopologySpreadConstraint labelSelector:LabelSelector matchLabelKeys:[str] maxSkew!:int minDomains:*int
  nodeAffinityPolicy:*str nodeTaintsPolicy:*str topologyKey! whenUnsatisfiable!
TypedLocalObjectReference@ apiGroup:+*str kind! name!
TypedObjectReference apiGroup:+*str kind! name! namespace:*str
ValidatingWebhook admissionReviewVersions!:[str] clientConfig!:WebhookClientConfig failurePolicy:*str="Fail"
  matchConditions:[MatchCondition|name~] matchPolicy:*str="Equivalent" name! namespaceSelector:LabelSelector={}
  objectSelector:LabelSelector={} rules:[RuleWithOperations] sideEffects!:*str timeoutSeconds:*int=10
ValidatingWebhookConfiguration webhooks:[ValidatingWebhook|name~]
ValidationRule fieldPath message messageExpression optionalOldSelf:*bool reason:*str rule!
Volume awsElasticBlockStore:any azureDisk:any azureFile:any cephfs:any cinder:any configMap:ConfigMapVolumeSource
  csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource
  ephemeral:EphemeralVolumeSource fc:any flexVolume:any flocker:any gcePersistentDisk:any gitRepo:any glusterfs:any
  hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:any name! nfs:NFSVolumeSource
  persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:any portworxVolume:any
  projected:ProjectedVolumeSource quobyte:any rbd:any scaleIO:any secret:SecretVolumeSource storageos:any
  vsphereVolume:any
VolumeDevice devicePath! name!
VolumeMount mountPath! mountPropagation:*str name! readOnly:bool recursiveReadOnly:*str subPath subPathExpr
VolumeMountStatus mountPath! name! readOnly:bool recursiveReadOnly:*str volumeStatus:VolumeStatus
VolumeProjection clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection
  downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection
  serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements limits:{quantity} requests:{quantity}
VolumeStatus image:ImageVolumeStatus
WebhookClientConfig caBundle:bytes service:ServiceReference url:*str
WebhookConversion clientConfig:WebhookClientConfig conversionReviewVersions!:[str]
WeightedPodAffinityTerm podAffinityTerm!:PodAffinityTerm weight!:int
WindowsSecurityContextOptions gmsaCredentialSpec:*str gmsaCredentialSpecName:*str hostProcess:*bool
  runAsUserName:*str
"""
