// Package inventory owns limited runs: what of each item is sold, reserved and returned, when it
// sold out, and whether partners hand over what they promised.
//
// # What is counted where
//
// [Rule] keeps one order per checkout and drop, and derives its marks from it: a mark is one
// number in one pane of effective event time. All records of a checkout count, whatever their
// channel: a till's checkout is a checkout.
//
//	Sold, Checkouts  at the first completed record
//	Reserved         at the first started record, unless the sale was before it
//	Released         where the sale or a failure ends the reservation
//	Expired          ReservationMS after the start, if nothing ended it before
//	Returned         where the refunds reach the sale's amount
//	Promised         at the sale, if it names a partner and a time
//	Shipped          at the first record of that type, not before the sale; Fulfilled likewise
//	Cancelled        at the full refund, by the promised time and before any handover
//	Due              1 ms after the promised time, unless cancelled
//	Late             there too, if neither shipped nor fulfilled by then
//
// A partner keeps its promise by handing the item over: to the carrier (shipped) or to the buyer
// (fulfilled), whichever is first. Of records that say the same of one checkout (a resend under
// another id, a second completion) the earliest counts, and of two in one millisecond the smaller;
// refunds are told apart by seq. Returned pieces are for sale again only where [RollupConfig] says so.
//
// # Any order of arrival
//
// The marks are a function of what is known of the order, and each mark at time u is decided by
// records at or before u: Expired at u asks what ended the reservation before u, Late at u
// whether something was handed over before u. So a record at t leaves the marks before t as they
// were, and no final pane is ever touched. Expired and Late may stand in panes to come; whoever
// adds panes up leaves out those that the watermark has not passed.
//
// # Publication
//
// Every flush publishes each changed pane of (drop, sku, channel, partner) once, with a growing
// revision; one final revision follows when the pane is past the allowed lateness. [Rollup] adds the
// partials of all partitions up and publishes one estimate per item and, once per change,
// the decision that it is low, sold out or oversold.
package inventory
