-- As migration 0021, for what screens read besides: the money tables with FINAL, and estimates and decisions, which come a few rows at a
-- time and would lie in dozens of parts, each of which a query opens for its own.

ALTER TABLE estimates MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE decisions MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE settlements MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_facts MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_posted MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_exceptions MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
