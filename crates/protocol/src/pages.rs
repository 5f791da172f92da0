//! Addresses of the dashboard's pages: the server answers each with the program that has the page, and the
//! program has one to show for each. Whatever stands in braces is one part of a path.

/// A program of the page: what a viewer loads first, or what is loaded when a page is opened that few viewers need,
/// or that is needed now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// The overview, which everybody loads first.
    Clicks,
    /// All other pages.
    Staff,
}

/// Every address with the program that has its page.
pub const ADDRESSES: [(&str, Bundle); 28] = [
    ("/", Bundle::Clicks),
    ("/explore", Bundle::Staff),
    ("/clicks", Bundle::Staff),
    ("/statement", Bundle::Staff),
    ("/reports", Bundle::Staff),
    ("/links", Bundle::Staff),
    ("/deployment", Bundle::Staff),
    ("/wall", Bundle::Staff),
    ("/incidents", Bundle::Staff),
    ("/incidents/{id}", Bundle::Staff),
    ("/pipeline", Bundle::Staff),
    ("/dead-letters", Bundle::Staff),
    ("/dead-letters/{sequence}", Bundle::Staff),
    ("/rules", Bundle::Staff),
    ("/rules/{rule}", Bundle::Staff),
    ("/storage", Bundle::Staff),
    ("/setup", Bundle::Staff),
    ("/advertisers", Bundle::Staff),
    ("/campaigns", Bundle::Staff),
    ("/campaigns/{id}", Bundle::Staff),
    ("/ads", Bundle::Staff),
    ("/ads/{id}", Bundle::Staff),
    ("/keys", Bundle::Staff),
    ("/test-clicks", Bundle::Staff),
    ("/accounts", Bundle::Staff),
    ("/audit", Bundle::Staff),
    ("/account", Bundle::Staff),
    ("/developers", Bundle::Staff),
];
