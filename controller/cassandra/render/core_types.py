"""The types of the Kubernetes core that a K8ssandraCluster may hold, as a table, and what breaks their shape.

Our own definitions let these types pass, so that fields of newer Kubernetes versions are not lost; so what a definition
with their schemas in it would refuse is refused here: a value of another type, a required field that is missing, two
entries of a keyed list with one key. Fields that the table does not know are nobody's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, TypeAlias

from controller.kube.quantity import parse_quantity

Finding: TypeAlias = tuple[str, str, str]
"""Path, what is wrong there, the way out."""

Rule: TypeAlias = Callable[[Any, str], Iterator[Finding]]

TABLE: Final = """
AWSElasticBlockStoreVolumeSource fsType partition:int32 readOnly:bool volumeID!
Affinity nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AppArmorProfile localhostProfile type!
AzureDiskVolumeSource cachingMode diskName! diskURI! fsType kind readOnly:bool
AzureFileVolumeSource readOnly:bool secretName! shareName!
CSIVolumeSource driver! fsType nodePublishSecretRef:LocalObjectReference readOnly:bool volumeAttributes:{str}
Capabilities add:[str] drop:[str]
CephFSVolumeSource monitors!:[str] path readOnly:bool secretFile secretRef:LocalObjectReference user
CinderVolumeSource fsType readOnly:bool secretRef:LocalObjectReference volumeID!
ClusterTrustBundleProjection labelSelector:LabelSelector name optional:bool path! signerName
ConfigMapEnvSource name optional:bool
ConfigMapKeySelector key! name optional:bool
ConfigMapProjection items:[KeyToPath] name optional:bool
ConfigMapVolumeSource defaultMode:int32 items:[KeyToPath] name optional:bool
Container args:[str] command:[str] env:[EnvVar]@name envFrom:[EnvFromSource] image imagePullPolicy lifecycle:Lifecycle
  livenessProbe:Probe name! ports:[ContainerPort]@containerPort,protocol readinessProbe:Probe
  resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy
  restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool terminationMessagePath terminationMessagePolicy tty:bool volumeDevices:[VolumeDevice]@devicePath
  volumeMounts:[VolumeMount]@mountPath workingDir
ContainerPort containerPort!:int32 hostIP hostPort:int32 name protocol
ContainerResizePolicy resourceName! restartPolicy!
ContainerRestartRule action! exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes operator! values:[int32]@
DownwardAPIProjection items:[DownwardAPIVolumeFile]
DownwardAPIVolumeFile fieldRef:ObjectFieldSelector mode:int32 path! resourceFieldRef:ResourceFieldSelector
DownwardAPIVolumeSource defaultMode:int32 items:[DownwardAPIVolumeFile]
EmptyDirVolumeSource medium sizeLimit:quantity
EnvFromSource configMapRef:ConfigMapEnvSource prefix secretRef:SecretEnvSource
EnvVar name! value valueFrom:EnvVarSource
EnvVarSource configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
  resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralVolumeSource volumeClaimTemplate:PersistentVolumeClaimTemplate
ExecAction command:[str]
FCVolumeSource fsType lun:int32 readOnly:bool targetWWNs:[str] wwids:[str]
FileKeySelector key! optional:bool path! volumeName!
FlexVolumeSource driver! fsType options:{str} readOnly:bool secretRef:LocalObjectReference
FlockerVolumeSource datasetName datasetUUID
GCEPersistentDiskVolumeSource fsType partition:int32 pdName! readOnly:bool
GRPCAction port!:int32 service
GitRepoVolumeSource directory repository! revision
GlusterfsVolumeSource endpoints! path! readOnly:bool
HTTPGetAction host httpHeaders:[HTTPHeader] path port!:intstr scheme
HTTPHeader name! value!
HostPathVolumeSource path! type
ISCSIVolumeSource chapAuthDiscovery:bool chapAuthSession:bool fsType initiatorName iqn! iscsiInterface lun!:int32
  portals:[str] readOnly:bool secretRef:LocalObjectReference targetPortal!
ImageVolumeSource pullPolicy reference
KeyToPath key! mode:int32 path!
LabelSelector matchExpressions:[LabelSelectorRequirement] matchLabels:{str}
LabelSelectorRequirement key! operator! values:[str]
Lifecycle postStart:LifecycleHandler preStop:LifecycleHandler stopSignal
LifecycleHandler exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LocalObjectReference name
NFSVolumeSource path! readOnly:bool server!
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
  requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeSelector nodeSelectorTerms!:[NodeSelectorTerm]
NodeSelectorRequirement key! operator! values:[str]
NodeSelectorTerm matchExpressions:[NodeSelectorRequirement] matchFields:[NodeSelectorRequirement]
ObjectFieldSelector apiVersion fieldPath!
PersistentVolumeClaimSpec accessModes:[str] dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference
  resources:VolumeResourceRequirements selector:LabelSelector storageClassName volumeAttributesClassName volumeMode
  volumeName
PersistentVolumeClaimTemplate metadata:map spec!:PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource claimName! readOnly:bool
PhotonPersistentDiskVolumeSource fsType pdID!
PodAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodAffinityTerm labelSelector:LabelSelector matchLabelKeys:[str] mismatchLabelKeys:[str]
  namespaceSelector:LabelSelector namespaces:[str] topologyKey!
PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodCertificateProjection certificateChainPath credentialBundlePath keyPath keyType! maxExpirationSeconds:int32
  signerName! userAnnotations:{str}
PodSecurityContext appArmorProfile:AppArmorProfile fsGroup:int64 fsGroupChangePolicy runAsGroup:int64
  runAsNonRoot:bool runAsUser:int64 seLinuxChangePolicy seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile
  supplementalGroups:[int64] supplementalGroupsPolicy sysctls:[Sysctl] windowsOptions:WindowsSecurityContextOptions
PortworxVolumeSource fsType readOnly:bool volumeID!
PreferredSchedulingTerm preference!:NodeSelectorTerm weight!:int32
Probe exec:ExecAction failureThreshold:int32 grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int32
  periodSeconds:int32 successThreshold:int32 tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int64
  timeoutSeconds:int32
ProjectedVolumeSource defaultMode:int32 sources:[VolumeProjection]
QuobyteVolumeSource group readOnly:bool registry! tenant user volume!
RBDVolumeSource fsType image! keyring monitors!:[str] pool readOnly:bool secretRef:LocalObjectReference user
ResourceClaim name! request
ResourceFieldSelector containerName divisor:quantity resource!
ResourceRequirements claims:[ResourceClaim]@name limits:{quantity} requests:{quantity}
SELinuxOptions level role type user
ScaleIOVolumeSource fsType gateway! protectionDomain readOnly:bool secretRef!:LocalObjectReference sslEnabled:bool
  storageMode storagePool system! volumeName
SeccompProfile localhostProfile type!
SecretEnvSource name optional:bool
SecretKeySelector key! name optional:bool
SecretProjection items:[KeyToPath] name optional:bool
SecretVolumeSource defaultMode:int32 items:[KeyToPath] optional:bool secretName
SecurityContext allowPrivilegeEscalation:bool appArmorProfile:AppArmorProfile capabilities:Capabilities
  privileged:bool procMount readOnlyRootFilesystem:bool runAsGroup:int64 runAsNonRoot:bool runAsUser:int64
  seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
ServiceAccountTokenProjection audience expirationSeconds:int64 path!
SleepAction seconds!:int64
StorageOSVolumeSource fsType readOnly:bool secretRef:LocalObjectReference volumeName volumeNamespace
Sysctl name! value!
TCPSocketAction host port!:intstr
Toleration effect key operator tolerationSeconds:int64 value
TypedLocalObjectReference apiGroup kind! name!
TypedObjectReference apiGroup kind! name! namespace
Volume awsElasticBlockStore:AWSElasticBlockStoreVolumeSource azureDisk:AzureDiskVolumeSource
  azureFile:AzureFileVolumeSource cephfs:CephFSVolumeSource cinder:CinderVolumeSource configMap:ConfigMapVolumeSource
  csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource
  ephemeral:EphemeralVolumeSource fc:FCVolumeSource flexVolume:FlexVolumeSource flocker:FlockerVolumeSource
  gcePersistentDisk:GCEPersistentDiskVolumeSource gitRepo:GitRepoVolumeSource glusterfs:GlusterfsVolumeSource
  hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:ISCSIVolumeSource name! nfs:NFSVolumeSource
  persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:PhotonPersistentDiskVolumeSource
  portworxVolume:PortworxVolumeSource projected:ProjectedVolumeSource quobyte:QuobyteVolumeSource rbd:RBDVolumeSource
  scaleIO:ScaleIOVolumeSource secret:SecretVolumeSource storageos:StorageOSVolumeSource
  vsphereVolume:VsphereVirtualDiskVolumeSource
VolumeDevice devicePath! name!
VolumeMount mountPath! mountPropagation name! readOnly:bool recursiveReadOnly subPath subPathExpr
VolumeProjection clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection
  downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection
  serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements limits:{quantity} requests:{quantity}
VsphereVirtualDiskVolumeSource fsType storagePolicyID storagePolicyName volumePath!
WeightedPodAffinityTerm podAffinityTerm!:PodAffinityTerm weight!:int32
WindowsSecurityContextOptions gmsaCredentialSpec gmsaCredentialSpecName hostProcess:bool runAsUserName
"""
"""A type a line, continued by indentation: its name, then its fields as ``name[!][:kind]``; ``!`` is required.

A kind is str (when none is named), bool, int32, int64, quantity, intstr, map (what nobody describes), another type,
``{kind}`` a map of texts to that kind, or ``[kind]`` a list; ``[kind]@key,key`` has each key once, ``[kind]@`` each
value.
"""

_DEFAULT_KEYS: Final = {"protocol": "TCP"}  # of a port, when it says none
_BOUNDS: Final = {"int32": 2**31, "int64": 2**63}
_SHAPES: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "str": (str, "use a text"),
    "bool": (bool, "use true or false"),
    "map": (dict, "use a map"),
}


def check(value: Any, kind: str, path: str) -> Iterator[Finding]:
    """What in ``value`` breaks the shape of ``kind``, as ``Container`` or ``[Toleration]``; null counts as absent."""
    if value is not None:
        yield from rule(kind)(value, path)


def fields(name: str) -> dict[str, tuple[str, bool]]:
    """The fields of a type: kind, and whether it is required. Raises ``KeyError`` for a type that is not here."""
    return _types()[name]


def is_quantity(value: Any) -> bool:
    """Whether it is a quantity: text or a number that can be read as one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        parse_quantity(value)
    except ValueError:
        return False
    return True


@cache
def _types() -> dict[str, dict[str, tuple[str, bool]]]:
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for line in TABLE.strip().replace("\n  ", " ").split("\n"):
        name, *entries = line.split()
        found[name] = {}
        for entry in entries:
            field, _, kind = entry.partition(":")
            found[name][field.rstrip("!")] = (kind or "str", field.endswith("!"))
    found["VolumeSource"] = {field: entry for field, entry in found["Volume"].items() if field != "name"}
    return found


@cache
def rule(kind: str) -> Rule:
    """What checks a value of ``kind``."""
    if kind in _SHAPES:
        return _scalar(*_SHAPES[kind])
    if kind in _BOUNDS:
        return _integer(_BOUNDS[kind])
    match kind[0]:
        case "[":
            inner, separator, keys = kind[1:].rpartition("]@")
            if not separator:
                return _list(kind[1:-1], None)
            return _list(inner, tuple(filter(None, keys.split(","))))
        case "{":
            return _map(kind[1:-1])
    if kind == "quantity":
        return _quantity
    if kind == "intstr":
        return _int_or_text
    return _struct(kind)


def _scalar(shape: type | tuple[type, ...], remedy: str) -> Rule:
    def judge(value: Any, path: str) -> Iterator[Finding]:
        if not isinstance(value, shape):
            yield _mistyped(path, remedy)

    return judge


def _integer(bound: int) -> Rule:
    def judge(value: Any, path: str) -> Iterator[Finding]:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            yield _mistyped(path, "use a whole number")
        elif not -bound <= value < bound:
            yield path, "is out of range", "use a smaller number"

    return judge


def _quantity(value: Any, path: str) -> Iterator[Finding]:
    if not is_quantity(value):
        yield path, "is no quantity", "use 4Gi, 500m or 2"


def _int_or_text(value: Any, path: str) -> Iterator[Finding]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        yield _mistyped(path, "use a whole number or a text")


def _map(kind: str) -> Rule:
    def judge(value: Any, path: str) -> Iterator[Finding]:
        if not isinstance(value, dict):
            remedy = "use a map of quantities" if kind == "quantity" else "use a map"
            yield _mistyped(path, remedy)
            return
        inner = rule(kind)
        for key, entry in value.items():
            if entry is not None:
                yield from inner(entry, f"{path}.{key}")

    return judge


def _list(kind: str, keys: tuple[str, ...] | None) -> Rule:
    def judge(value: Any, path: str) -> Iterator[Finding]:
        if not isinstance(value, list):
            yield _mistyped(path, "use a list" if kind in (*_SHAPES, *_BOUNDS) else "use a list of maps")
            return
        inner = rule(kind)
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(value):
            here = f"{path}[{index}]"
            wrong = [(here, "is null", "remove it")] if entry is None else list(inner(entry, here))
            yield from wrong
            if keys is None or wrong:
                continue
            key = tuple(entry.get(each, _DEFAULT_KEYS.get(each)) for each in keys) if keys else (entry,)
            if keys and key[0] == "":
                yield f"{here}.{keys[0]}", "is required", "set it"
            elif key in seen:
                yield f"{here}.{keys[0]}" if keys else here, "is there twice", "keep one of the two"
            seen.add(key)

    return judge


def _struct(name: str) -> Rule:
    known = fields(name)
    required = tuple(field for field, (_, needed) in known.items() if needed)

    def judge(value: Any, path: str) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield _mistyped(path, "use a map")
            return
        for field in required:
            if value.get(field) is None:
                yield f"{path}.{field}", "is required", "set it"
        for field, entry in value.items():
            if entry is not None and (found := known.get(field)) is not None:
                yield from rule(found[0])(entry, f"{path}.{field}")

    return judge


def _mistyped(path: str, remedy: str) -> Finding:
    return path, "is not of the right type", remedy
