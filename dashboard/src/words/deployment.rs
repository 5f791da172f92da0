//! Texts for operators about all advertisers together.

texts! {
    PER_SECOND_NOW = "Clicks per second now";
    TOP_ADVERTISERS = "Top advertisers";
    TOP_CAMPAIGNS = "Top campaigns";
    TOP_COUNTRIES = "Top countries";
    CHANGE = "Change";
}
