//! The authenticating proxy: identities of other clusters call this cluster's API server.
