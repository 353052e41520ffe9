-- Screens read the newest revisions with FINAL every few seconds. Where rows of a key may lie in several parts, FINAL compares them at
-- every read, which costs several times the read itself; rows that lie in one merged part it takes as they are. Left alone, the engine
-- merges large parts only with others like them, so that a drop's hours lie in several parts over each other. With these settings
-- whatever has lain for five minutes is merged, so that only the newest panes are compared. They write the parts up to 128 MiB of a
-- table again every five minutes at most; what is larger has panes that nobody revises any more.

ALTER TABLE velocity MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE latency_sketches MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE inventory MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE localization MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE experiments MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE edge_cost MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE attribution MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE settlements MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_facts MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_posted MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE money_exceptions MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;

-- Estimates and decisions come a few rows at a time and would lie in dozens of parts, each of which a query opens for its own.
ALTER TABLE estimates MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
ALTER TABLE decisions MODIFY SETTING min_age_to_force_merge_seconds = 300, max_bytes_to_merge_at_max_space_in_pool = 134217728;
