"""Who a TLS client is: its certificate names namespace, role and itself as flow://NAMESPACE/ROLE/NAME.

gRPC has verified the certificate against the authority of FLOW_GRPC_TLS_CLIENT_CA before it comes here.
What reads certificates is imported with the first one: most executors never see any.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flow_engine.errors import Unauthenticated
from services.executor.access.caller import Caller
from services.executor.access.roles import ROLES
from services.executor.access.tokens import NAMESPACE

SCHEME = "flow"


def caller_of_certificate(pem: bytes) -> Caller:
    """Raises Unauthenticated when it names nobody, or several."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        uris = []
    ours = [uri for uri in uris if uri.startswith(f"{SCHEME}://")]
    if len(ours) != 1:
        raise Unauthenticated("the client certificate names nobody as flow://NAMESPACE/ROLE/NAME")
    parts = urlsplit(ours[0])
    role, _, name = parts.path.removeprefix("/").partition("/")
    if not NAMESPACE.fullmatch(parts.netloc) or role not in ROLES or not name:
        raise Unauthenticated("the client certificate names nobody as flow://NAMESPACE/ROLE/NAME")
    return Caller(f"cert:{name[:200]}", parts.netloc, role)
