//! Addresses of the dashboard's pages: the server answers each with the page, and the page has one to show
//! for each. Whatever stands in braces is one part of a path.

/// Every address.
pub const ADDRESSES: [&str; 11] = [
    "/",
    "/explore",
    "/incidents",
    "/incidents/{id}",
    "/setup",
    "/advertisers",
    "/campaigns",
    "/ads",
    "/keys",
    "/accounts",
    "/audit",
];
