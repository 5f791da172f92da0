-- What people decide about clicks and incidents is recorded like every other change of theirs: a release,
-- which is the adjustment that no rule has made, and the acknowledgement of an incident.
CREATE TRIGGER audited AFTER INSERT ON adjustments
    FOR EACH ROW WHEN (NEW.actor <> 'rules') EXECUTE FUNCTION audit_change('click_id');
CREATE TRIGGER audited AFTER UPDATE ON alerts
    FOR EACH ROW WHEN (OLD.acknowledged_at IS NULL AND NEW.acknowledged_at IS NOT NULL)
    EXECUTE FUNCTION audit_change('alert_id');
