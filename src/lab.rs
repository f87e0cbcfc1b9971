//! A cluster to practise on, indistinguishable through the API.
