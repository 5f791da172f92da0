use super::*;

/// The schema as it is written down for clients.
const WRITTEN: &str = "../docs/integrate/schema.graphql";

fn questions() -> Questions {
    Schema::build(Query, EmptyMutation, Subscription)
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_COMPLEXITY)
        .finish()
}

/// Returns the refusal of a question without a caller: without data the first check behind the limits fails.
async fn refusal(question: &str) -> String {
    let answer = questions().execute(question).await;
    answer.errors.iter().map(|error| error.message.clone()).collect()
}

#[test]
fn the_schema_is_the_one_that_is_written_down() {
    let schema = schema();
    if std::env::var_os("CLICKWIRE_WRITE_SCHEMA").is_some() {
        std::fs::write(WRITTEN, &schema).unwrap();
    }
    let written = std::fs::read_to_string(WRITTEN).unwrap();
    assert!(schema == written, "run the test with CLICKWIRE_WRITE_SCHEMA=1, and look at the difference");
}

#[tokio::test]
async fn introspection_is_within_the_limits() {
    // What clients send, as deep as it gets.
    let kind = (0..9).fold("kind name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
    let question = format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name }} subscriptionType {{ name }} types {{ kind name description \
         fields(includeDeprecated: true) {{ name description args {{ name description type {{ {kind} }} defaultValue }} \
         type {{ {kind} }} isDeprecated deprecationReason }} inputFields {{ name type {{ {kind} }} }} \
         interfaces {{ {kind} }} enumValues(includeDeprecated: true) {{ name }} possibleTypes {{ {kind} }} }} \
         directives {{ name locations args {{ name type {{ {kind} }} }} }} }} }}"
    );
    assert_eq!(refusal(&question).await, "");
}

#[tokio::test]
async fn what_costs_too_much_is_refused_before_it_is_asked() {
    let many =
        |n: usize| (0..n).map(|n| format!("q{n}: summary {{ totals {{ clicks }} }} ")).collect::<String>();
    // It is asked, by nobody.
    assert!(refusal(&format!("{{ {} }}", many(1))).await.contains("Sign in"));
    assert!(refusal(&format!("{{ {} }}", many(100))).await.contains("complex"));
    let deep = (0..30).fold("name".to_owned(), |inner, _| format!("name ofType {{ {inner} }}"));
    assert!(refusal(&format!("{{ __schema {{ queryType {{ {deep} }} }} }}")).await.contains("nested"));
    // A fragment that contains itself.
    assert_ne!(refusal("query { ...F } fragment F on Query { ...F }").await, "");
}
