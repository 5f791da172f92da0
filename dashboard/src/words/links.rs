//! Texts of the pages of one campaign, of one ad, and of links.

texts! {
    LINKS = "Links";
    LINKS_LEAD = "A link counts a click on its ad and leads on to the ad’s target. A test click takes the same way, is marked as test, and is not billed.";
    SEARCH_ADS = "Search ads";
    NO_AD_MATCHES = "No ad matches.";
    NO_AD_MATCHES_WHY = "The search looks at ids, names, targets and campaigns.";
    NO_SUCH_CAMPAIGN_WHY = "It is not registered for this advertiser, and had no clicks in this range of time.";
    NO_SUCH_AD_WHY = "It is not registered for this advertiser, and had no clicks in this range of time.";
    NOT_REGISTERED = "Not registered";
    NOT_REGISTERED_WHY = "Its clicks stay counted.";
    EDIT = "Edit";
    IN_EXPLORE = "Open in Explore";
    CAMPAIGN_PAGE = "Campaign page";
    AD_PAGE = "Ad page";
    THE_AD_ID = "the ad’s ID";
    THE_CAMPAIGN_ID = "the campaign’s ID";
    TEST_CLICK = "Test click";
    MAKE_ANOTHER = "Another test click";
    TEST_ACCEPTED = "Accepted";
    TEST_ACCEPTED_WHY = "The click can’t be lost any more.";
    TEST_COUNTED = "Counted as test";
    TEST_COUNTED_WHY = "It is in the ledger, and on no bill.";
    TEST_WAITS = "Waiting until it is counted…";
    TEST_LATE = "It is not counted yet. It will be: clicks wait while counting is behind.";
    LEADS_TO = "Leads to";
    LEADS_TO_WHY = "Nobody was sent there. The click ID in it is good for this click alone.";
    THE_TARGET = "the address";
    SHOW_CLICK = "Show the click";
    STEP_DONE = "Done:";
    STEP_WAITS = "Waiting:";
}

/// The button that makes a test click on an ad.
pub fn test_click_on(name: &str) -> String {
    say!("Test click on {name}", name)
}

/// Verdict of a test click that was not counted as a test.
pub fn test_counted_as(verdict: &str) -> String {
    say!("Counted as {verdict}", verdict)
}
