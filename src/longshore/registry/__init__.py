"""The data plane: blobs, uploads, manifests, tags and referrers of OCI Distribution 1.1."""
