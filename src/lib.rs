//! A reverse proxy for Frontegg's MFA routes.
