// Package localization owns the subtitle objectives of a drop (DOMAIN 7): it judges every cue in every language
// against thresholds, adds verdicts up as partials per drop, language and pane, and decides from them how fast
// the error budget burns.
//
// # What is judged
//
// A cue is one number (cue_id) of a stream. The source track says which cues exist: a cue counts once in every language of which
// anything is known.
//
//   - shown: good unless it has faults. slow: latency, display minus speech start on the media timeline, above the
//     objective. brief, long: time on screen. dense: graphemes a second, with a limit of its own for languages without spaces.
//     wordy: words a minute, except there. early: shown before its speech, beyond a tolerance; such a cue is bad, and
//     its latency counts as 0.
//   - missing: reported so, with the latency of the cap.
//   - unreported: missing too. The cue was shown in the language spoken, and when the watermark has passed its time by the cap,
//     nothing is known of it in a language that is expected: one that is configured, or one that the stream has had
//     at or before this cue's media time. A language that stops stays expected for the rest of the stream: an outage must not look perfect.
//     Without a source track nothing can be found missing; only reports count then.
//
// There is one verdict per cue and language, whatever number of records names it: a display replaces a report
// of absence, the earliest display replaces later ones, and of records about one display the newest event counts.
//
// # Where it counts
//
// A cue counts in the pane of the earliest event time at which any record named it, in any language, so that languages compare
// pane by pane and corrections stay in one place. An earlier record that arrives later moves the cue; every pane touched is published anew. A
// pane is final when Watermark ≥ its end − 1 + AllowedLateness, and its cues are then forgotten but for the highest media time
// among them: a record about a cue at or before that time which is not known any more is counted as settled, and changes nothing.
// Events without a drop_id and synthetic ones do not count.
//
// # Objectives
//
// The rollup adds up the newest partials of a drop. Its event time is the lowest of the newest watermarks of the partitions that
// contributed. At every whole interval of it, burn rates are judged over windows that end SettleMS earlier, when all is known
// of their cues, and a changed choice is published as a decision of topic burn_rate with the language as subject:
//
//	page, ticket   the window's burn rates are above its factor, over the long and over the short length
//	ok             none is
//	no_data        no cue for SilenceMS, or too few in every window
//
// Languages with too few cues in a window are judged together in it: the subject is then empty. Windows follow the drop's length.
// Estimates are published beside: cue_good_ratio, cue_budget_remaining, cue_latency_p95 and cue_translation_p95 per language. The budget
// that remains is that of the cues so far: 1 − bad/((1−target)·expected); the detail spent_of_drop weighs it by the elapsed
// part of the drop, and exhausted_in_ms says how long the rest lasts at the fastest window's burn rate.
package localization
