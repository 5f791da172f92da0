//! Texts for people, in one place and in English: plain texts here, sentences with values in [`phrases`],
//! [`clicks`], [`reports`], [`explore`], [`annotations`], [`browser`] and [`developers`]; operators' texts in
//! [`operations`], [`mod@evidence`], [`outcomes`], [`pipeline`], [`rules`], [`storage`], [`deployment`] and [`wall`]. A
//! translation is a file beside the program, `dashboard/words/de.json`, by the English of a text ([`catalogue`]).

/// Texts by name; each is its own documentation.
macro_rules! texts {
    ($($name:ident = $text:literal;)*) => {
        $(#[doc = $text] pub const $name: $crate::words::Text = $crate::words::Text::new($text);)*
    };
}

/// Says a text in the viewer's language: a plain text, or a template with values in its named places, which makes a
/// `String`.
macro_rules! say {
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
    ($text:literal) => { $crate::words::Text::new($text).get() };
    ($template:literal, $($name:ident $(= $value:expr)?),+ $(,)?) => {
        $crate::words::catalogue::fill(
            $crate::words::Text::new($template),
            &[$((stringify!($name), &say!(@value $name $($value)?))),+],
        )
    };
}

mod annotations;
mod browser;
pub mod catalogue;
mod clicks;
mod corrections;
mod deployment;
mod developers;
mod evidence;
mod explore;
#[cfg(test)]
mod german;
mod lengths;
mod links;
mod live;
mod operations;
mod outcomes;
mod phrases;
mod pipeline;
mod previews;
mod reports;
mod rules;
mod sign_in;
#[cfg(test)]
mod sources;
mod storage;
mod wall;

pub use annotations::*;
pub use browser::*;
pub use catalogue::Text;
pub use clicks::*;
pub use corrections::*;
pub use deployment::*;
pub use developers::*;
pub use evidence::*;
pub use explore::*;
pub use lengths::*;
pub use links::*;
pub use live::*;
pub use operations::*;
pub use outcomes::*;
pub use phrases::*;
pub use pipeline::*;
pub use previews::*;
pub use reports::*;
pub use rules::*;
pub use sign_in::*;
pub use storage::*;
pub use wall::*;

// The frame.
texts! {
    BRAND = "Clickwire";
    PAGES = "Pages";
    SKIP = "Skip to the content";
    SECTION_CLICKS = "Clicks";
    SECTION_OPERATIONS = "Operations";
    SECTION_ADMINISTRATION = "Administration";
    OVERVIEW = "Overview";
    EXPLORE = "Explore";
    FIND_CLICKS = "Find clicks";
    STATEMENT = "Statement";
    REPORTS = "Scheduled reports";
    MORE_PAGES = "More pages";
    INCIDENTS = "Incidents";
    SETUP = "First steps";
    ADVERTISERS = "Advertisers";
    CAMPAIGNS = "Campaigns";
    ADS = "Ads";
    KEYS = "Keys";
    TEST_CLICKS = "Test clicks";
    ACCOUNTS = "Accounts";
    AUDIT = "Audit log";
    ACCOUNT = "Your account";
    ADVERTISER = "Advertiser";
    ALL_ADVERTISERS = "All advertisers";
    RANGE = "Range of time";
    OTHER_RANGE = "Another range…";
    FROM = "From";
    TO = "To";
    SHOW = "Show";
    NOT_A_RANGE = "The end must be after the start, within three years.";
    COMPARE = "Comparison";
    NO_COMPARISON = "No comparison";
    PERIOD_BEFORE = "Period before";
    YEAR_BEFORE = "Year before";
    ZONE = "Time zone";
    SIGN_OUT = "Sign out";
    NO_SUCH_PAGE = "No such page";
    NO_SUCH_PAGE_WHY = "There is no page at this address.";
    NOT_YOURS = "This page is not open to your account.";
    NO_ADVERTISERS = "No advertisers yet.";
    NO_ADVERTISERS_WHY = "Clicks are counted for advertisers: an administrator registers the first one.";
    NOTHING_IS_YOURS = "Your account sees no advertiser. An administrator can add one to it.";
    NOTHING_IS_THERE = "An administrator registers the first advertiser.";
}

// What goes wrong, and lists in general.
texts! {
    AWAY = "The server can’t be reached now.";
    SIGNED_OUT = "You are not signed in any more.";
    INVALID = "Something in the input is wrong.";
    UNREADABLE = "The server’s answer could not be read. Load the page again: it may be older than the server.";
    TRY_AGAIN = "Try again";
    NOT_LOADED = "Could not be loaded.";
    CLOSE = "Close";
    COPIED = "Copied";
    MORE = "More";
    LOOKING = "Looking for it…";
    SEARCH = "Search";
    SAVE = "Save";
    SAVED = "Saved.";
    CREATE = "Create";
    DELETE = "Delete";
    DELETED = "Deleted.";
    NAME = "Name";
    ID = "ID";
    ID_HINT = "Letters, digits and a few signs; it can’t be changed later.";
    STATE = "State";
    CREATED = "Created";
    BY = "By";
    TIME = "Time";
    ACTIONS = "Actions";
    TOTAL = "Total";
    UNKNOWN = "Unknown";
}

// Registered things.
texts! {
    NEW_ADVERTISER = "New advertiser";
    TEMPLATE = "Click ID in links";
    TEMPLATE_HINT = "Query parameters that tell the advertiser which click it was, such as cw_click_id={click_id}.";
    FORWARDED = "Forwarded parameters";
    FORWARDED_HINT = "Names, beginnings that end in *, or * for all, separated by commas.";
    DELETE_ADVERTISER_WHY = "What was counted for it stays counted. An advertiser with campaigns can’t be deleted.";
    CAMPAIGN = "Campaign";
    NEW_CAMPAIGN = "New campaign";
    NO_CAMPAIGNS = "No campaigns yet.";
    NO_CAMPAIGNS_WHY = "Ads belong to campaigns: the advertiser needs one first.";
    NO_SUCH_CAMPAIGN = "There is no such campaign.";
    DELETE_CAMPAIGN_WHY = "What was counted for it stays counted. A campaign with ads can’t be deleted.";
    ITS_ADS = "Its ads";
    ITS_CLICKS = "Its clicks";
    LAST_DAY = "Clicks of the last 24 hours.";
    AD = "Ad";
    NEW_AD = "New ad";
    NO_ADS = "No ads yet.";
    NO_ADS_WHY = "A link counts a click and leads on to its ad’s target.";
    NO_SUCH_AD = "There is no such ad.";
    DELETE_AD_WHY = "Its links lead nowhere from then on. What was counted for it stays counted.";
    TARGET = "Target";
    TARGET_HINT = "Where its links lead; may have macros such as {click_id}.";
    LINK = "Link";
    THE_LINK = "the link";
    EXAMPLE_ADVERTISER = "Northwind";
    EXAMPLE_CAMPAIGN = "Spring sale";
    EXAMPLE_AD = "Banner";
}

// Keys and accounts.
texts! {
    NEW_KEY = "New key";
    NO_KEYS = "No keys yet.";
    NO_KEYS_WHY = "A program posts clicks with a key.";
    KEY_NAME_HINT = "The program that uses it.";
    COUNTS = "Clicks count";
    POSTS_FOR = "Posts for";
    RATE = "Clicks per second";
    IN_USE = "In use";
    TWO_SECRETS = "Two secrets";
    REVOKED = "Revoked";
    ROTATE = "New secret";
    ROTATE_MORE = "New secret…";
    ROTATE_WHY = "The old secret keeps working for a while, so that programs can change over.";
    GRACE = "Hours that the old secret keeps working";
    REVOKE = "Revoke";
    REVOKE_MORE = "Revoke…";
    REVOKE_WHY = "Posts with it are refused within two seconds, on every server. This can’t be undone.";
    KEY_REVOKED = "The key is revoked.";
    SECRET_ONCE = "Save it now: it is shown only once.";
    SECRET_KEPT = "I have saved it";
    THE_KEY = "the key";
    NEW_ACCOUNT = "New account";
    NO_ACCOUNTS = "No accounts yet.";
    NO_ACCOUNTS_WHY = "People sign in with an account; an access token opens the dashboard, too.";
    NO_SUCH_ACCOUNT = "There is no such account.";
    LOGIN = "Login";
    LOGIN_HINT = "What its owner signs in with, such as an e-mail address.";
    ROLE = "Role";
    SEES = "Sees";
    ENABLED = "Enabled";
    DISABLED = "Disabled";
    ENABLE = "Enable";
    DISABLE = "Disable";
    RESET = "New password";
    RESET_MORE = "New password…";
    RESET_WHY = "The old password stops working, and the account’s sessions end.";
    SIGN_OUT_EVERYWHERE = "Sign out everywhere";
    SIGN_OUT_EVERYWHERE_MORE = "Sign out everywhere…";
    SIGN_OUT_WHY = "All its sessions end within two seconds, on every server.";
    SIGNED_OUT_EVERYWHERE = "Signed out everywhere.";
    PASSWORD_ONCE = "Pass it on now: it is shown only once. Its owner can change it.";
    THE_PASSWORD = "the password";
}

// The viewer's own account.
texts! {
    YOU = "You";
    OPENED_WITH = "Opened with";
    WITH_PASSWORD = "login and password";
    WITH_TOKEN = "an access token";
    WITH_TOKEN_WHY = "A password and tokens belong to an account: sign in with login and password to change them.";
    COLOURS = "Colours";
    PASSWORD = "Password";
    PASSWORD_NOW = "Current password";
    PASSWORD_NEW = "New password";
    PASSWORD_NEW_HINT = "At least 12 characters.";
    PASSWORD_AGAIN = "New password again";
    PASSWORD_WRONG = "This is not your current password.";
    PASSWORD_DIFFERS = "The two new passwords are not the same.";
    PASSWORD_WHY = "All other sessions of the account end; this one goes on.";
    PASSWORD_CHANGE = "Change password";
    PASSWORD_CHANGED = "The password is changed.";
    YOUR_SESSIONS_WHY = "All your sessions end within two seconds, this one included. Access tokens stay.";
    TOKENS = "Access tokens";
    TOKENS_WHY = "A token opens the API for a program. It sees what your account sees.";
    NEW_TOKEN = "New token";
    NO_TOKENS = "No tokens yet.";
    TOKEN_NAME_HINT = "The program that uses it.";
    TOKEN_DAYS = "Days until it expires";
    TOKEN_DAYS_HINT = "From 1 to 366.";
    EXPIRES = "Expires";
    EXPIRED = "Expired";
    TOKEN_REVOKE_WHY = "Programs with it are refused within two seconds, on every server. This can’t be undone.";
    TOKEN_REVOKED = "The token is revoked.";
    THE_TOKEN = "the token";
}

// The audit log.
texts! {
    WHO = "Who";
    DID = "Action";
    SUBJECT = "Subject";
    CHANGED = "Changed";
    ORIGIN = "Origin";
    EVERYTHING = "Everything";
    ENTRY = "Entry";
    NO_ENTRIES = "No entries.";
    NO_ENTRIES_WHY = "Every change of an account, a key, a rule and whatever is registered is written here.";
    NO_SUCH_ENTRY = "There is no such entry.";
    BEFORE_AND_AFTER = "Before and after";
    FIELD = "Field";
    BEFORE = "Before";
    AFTER = "After";
}

// First steps.
texts! {
    SETUP_LEAD = "Four things to register, then the first click.";
    STEP_ADVERTISER = "Advertiser: whose clicks are counted";
    STEP_CAMPAIGN = "Campaign: what they are for";
    STEP_AD = "Ad: what is clicked, and where it leads";
    STEP_KEY = "Key: what your program posts with";
    STEP_CLICK = "First click";
    FIRST_KEY = "First key";
    CREATE_KEY = "Create key";
    SECRET_ONCE_HERE = "Shown below:";
    POST_A_CLICK = "Post a click:";
    OR_FOLLOW = "Follow the ad’s link:";
    THE_COMMAND = "the command";
    WAITING = "Waiting for the first click…";
    TO_OVERVIEW = "Watch it live";
    TO_ACCOUNTS = "Create accounts for people";
}

// Incidents.
texts! {
    INCIDENT = "Incident";
    SEVERITY = "Severity";
    MEASURED = "Measured";
    SINCE = "Since";
    LASTS = "Lasts";
    LAST_SEEN = "Last seen";
    CRITICAL = "Critical";
    WARNING = "Warning";
    OPEN = "Open";
    SEEN = "Acknowledged";
    RESOLVED = "Resolved";
    ACKNOWLEDGE = "Acknowledge";
    ACKNOWLEDGED = "Acknowledged.";
    KEYS_HINT = "j k: next, previous · a: acknowledge";
    ALL_CALM = "No open incidents.";
    NO_INCIDENTS = "No incidents.";
    NO_INCIDENTS_WHY = "Bursts, spikes, too much invalid traffic and delays are listed here as they happen.";
    NO_SUCH_INCIDENT = "There is no such incident.";
    CLICKS = "Clicks";
    SAMPLE = "Clicks that the incident is about";
    NO_CLICKS = "No clicks.";
    NO_CLICKS_WHY = "No click of this range matches all conditions.";
    VERDICT = "Verdict";
    EVIDENCE = "Evidence";
    FROM_WHERE = "Origin";
    RELEASED = "released";
    RELEASE = "Release";
    RELEASE_MORE = "Release…";
    RELEASE_TITLE = "Release this click?";
    RELEASE_WHY = "The click is billed as valid from now on. This can’t be undone.";
    RELEASED_TOAST = "The click is valid now.";
    RELEASE_ALL = "Release all";
    RELEASE_ALL_MORE = "Release all…";
    RELEASE_ALL_TITLE = "Release all clicks that match?";
    REASON = "Reason";
}

// Test clicks.
texts! {
    TEST_CLICKS_LEAD = "Test clicks go through the same pipeline as all others. They are marked as test, are not billed, and do not appear in charts. Each run has its own key, which is revoked when the run ends.";
    SHOW_CLICKS = "Show these clicks";
    CLICKS_PER_SECOND = "Clicks per second";
    COUNTRIES = "Countries";
    SHARE_OF_ROBOTS = "Robots, percent";
    ALL_DEVICES = "All devices";
    MOBILE = "Mobile";
    DESKTOP = "Desktop";
    TABLET = "Tablet";
    EXPECTED_COUNTRIES = "Codes of two letters, separated by commas.";
    NO_AD_CHOSEN = "Choose at least one ad.";
    CAMPAIGN_WITHOUT_ADS = "The campaign has no ads: add one first.";
    SEND = "Send";
    STOP = "Stop";
    SENDING = "Sending";
    COUNTING = "Waiting until they are counted";
    ALL_SENT = "Done";
    STOPPED = "Stopped";
    RUN_FAILED = "Failed";
}

// Single clicks.
texts! {
    CLICK = "Click";
    CLICK_ID = "Click ID";
    THE_ID = "the click ID";
    USER = "User";
    ADDRESS_HASH = "Hash of the IP address";
    COUNTRY = "Country";
    DEVICE = "Device";
    OS = "Operating system";
    BROWSER = "Browser";
    RULE = "Rule";
    ROBOT = "Robot";
    REFERRER = "Referrer";
    RECEIVED_AT = "Received";
    DECIDED_BY = "Decided by";
    INVALID_BOTH = "Invalid traffic";
    CLEAR = "Clear";
    CHANGES = "Changes of the verdict";
    CAME_WITH = "Parameters";
    NO_SUCH_CLICK = "There is no such click.";
    NO_SUCH_CLICK_WHY = "It may have been counted for another advertiser, or the ledger may not keep it any more.";
}

// The statement.
texts! {
    MONTH = "Month";
    MONTHS = "Months";
    FINAL = "Final";
    SO_FAR = "So far";
    NO_CLICKS_IN_MONTH = "Nothing was counted for this advertiser in this month.";
}

// Scheduled reports and files.
texts! {
    SCHEDULES = "Schedules";
    NEW_SCHEDULE = "New schedule";
    NO_SCHEDULES = "No schedules yet.";
    NO_SCHEDULES_WHY = "A schedule makes a file each day about the day before, or each Monday about the week before.";
    SCHEDULE_CREATED = "The schedule is created.";
    SCHEDULE_WHOSE_HINT = "People of the advertiser may fetch the files; those of all advertisers are for operators.";
    DELETE_MORE = "Delete…";
    DELETE_SCHEDULE_WHY = "Files that it has made stay until they expire.";
    CONTENT = "Content";
    FORMAT = "Format";
    WHEN = "When";
    NEXT = "Next";
    HOUR = "Hour of the day";
    HOUR_HINT = "0 to 23, by the clock of the time zone. Late clicks come for a day.";
    SENT_TO = "Sent to";
    SENT = "Sent";
    WEBHOOK_HINT = "An https address that each file is sent to, signed. Empty: files are only kept, for eight days.";
    KEPT_ONLY = "kept only";
    FILES = "Files";
    NO_FILES = "No files.";
    NO_FILES_WHY = "Files of schedules, and of exports that a program has asked for, are listed until they expire.";
    SIZE = "Size";
    DOWNLOAD = "Download";
    DONE = "Done";
    FAILED = "Failed";
    DELETE_FILE = "Delete this file?";
    DELETE_FILE_WHY = "Nobody can fetch it any more. One that is being made is given up.";
}

// Explore.
texts! {
    BILLABLE = "Billable";
    INVALID_CLICKS = "Invalid";
    INVALID_RATE = "Invalid rate";
    METRIC = "Metric";
    WIDTH = "Bucket size";
    AUTO_WIDTH = "Automatic buckets";
    SHAPE = "Shape";
    BY_DIMENSION = "Group by";
    THEN_BY = "Then by";
    HOURS_OF_WEEK = "Hours of the week";
    NO_SECOND = "Nothing else";
    OTHERS = "Others";
    BEFORE_TOTAL = "Total before";
    STILL_CHANGES = "May still change";
    PARTIAL = "Part of a bucket";
    PROVISIONAL = "Provisional";
    ADD_FILTER = "Add filter";
    DIMENSION = "Dimension";
    CONDITION = "Condition";
    ONLY = "Only";
    ALL_BUT = "All but";
    VALUES = "Values";
    EXPORT = "Export";
    NOT_EXPORTED = "The file could not be made. Try again, or narrow the question.";
}
