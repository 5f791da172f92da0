-- What explains a chart, for the role clickwire_reader: migration 14 says how its views keep advertisers apart.
-- Incidents: of a tenant's own clicks, and outages of the whole deployment; whoever may see everybody sees all. A
-- subject may be an address or another advertiser's user, and an incident is operators' to open: neither is a tenant's.
CREATE VIEW tenants.incidents WITH (security_barrier) AS
    SELECT CASE WHEN (SELECT tenants.everybody()) THEN alert_id END AS alert_id, kind, severity, advertiser_id, campaign_id,
           opened_at, resolved_at
      FROM public.alerts
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[])
        OR (advertiser_id IS NULL AND kind IN ('lag', 'rollups') AND (SELECT tenants.named()) <> ARRAY[]::text[]);

-- Versions of rules, from when on each is in force; those of the beginning are no change. Tenants see that a rule has
-- changed that judges clicks, not its mode or version. Authors are not in this view.
CREATE VIEW tenants.rule_changes WITH (security_barrier) AS
    SELECT rule, effective_at, CASE WHEN (SELECT tenants.everybody()) THEN version END AS version,
           CASE WHEN (SELECT tenants.everybody()) THEN mode END AS mode
      FROM public.fraud_rules
     WHERE effective_at > 'epoch' AND ((SELECT tenants.everybody())
        OR (rule IN ('user_agent', 'data_center', 'prefetch', 'duplicate', 'ip_velocity', 'user_velocity', 'forged_click_id') AND (SELECT tenants.named()) <> ARRAY[]::text[]));

-- Comparisons with the ledger that have mended buckets: they are of all advertisers together.
CREATE VIEW tenants.repairs WITH (security_barrier) AS
    SELECT finished_at, range_start, range_end, repaired
      FROM public.reconciliations
     WHERE repaired > 0 AND (SELECT tenants.everybody());

GRANT SELECT ON tenants.incidents, tenants.rule_changes, tenants.repairs TO clickwire_reader;

-- The verdict on the convictions of an incident by the person who ended it. NULL: none was given, or it ended by itself.
-- A table gets no column with a default as long as a function takes its rows: this one has none.
ALTER TABLE alerts
    ADD COLUMN outcome text,
    ADD CONSTRAINT alerts_outcome CHECK (outcome IN ('confirmed', 'released', 'other')),
    ADD CONSTRAINT alerts_outcome_is_a_persons CHECK (outcome IS NULL OR resolved_by IS NOT NULL);

CREATE OR REPLACE FUNCTION alert_document(a alerts) RETURNS jsonb LANGUAGE sql STABLE RETURN jsonb_build_object(
    'alert_id', a.alert_id, 'kind', a.kind, 'subject', a.subject, 'severity', a.severity,
    'advertiser_id', a.advertiser_id, 'campaign_id', a.campaign_id,
    'opened_at', rfc3339(a.opened_at), 'last_seen_at', rfc3339(a.last_seen_at),
    'resolved_at', rfc3339(a.resolved_at), 'resolved_by', a.resolved_by, 'resolution', a.resolution, 'outcome', a.outcome,
    'acknowledged_at', rfc3339(a.acknowledged_at), 'acknowledged_by', a.acknowledged_by,
    'assigned_at', rfc3339(a.assigned_at), 'assigned_to', a.assigned_to,
    'silenced_until', CASE WHEN alert_is_silenced(a) THEN rfc3339(a.silenced_until) END,
    'silenced_by', CASE WHEN alert_is_silenced(a) THEN a.silenced_by END,
    'silence_reason', CASE WHEN alert_is_silenced(a) THEN a.silence_reason END,
    'note_count', a.note_count, 'details', a.details, 'version', a.version);

-- Ads of the campaigns that a tenant sees, for lists of its own links.
ALTER TABLE ads ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON ads FOR SELECT TO clickwire_reader
    USING (campaign_id IN (SELECT campaign_id FROM campaigns));
GRANT SELECT ON ads TO clickwire_reader;

-- Changes of verdicts of all advertisers within a time. Counting waits while it is built, so it comes last: nothing
-- above it is waited for meanwhile.
CREATE INDEX adjustments_by_time ON adjustments (adjusted_at);
