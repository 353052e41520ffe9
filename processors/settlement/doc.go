// Package settlement divides what drops sell among their participants and says what to pay out (DOMAIN 8).
//
// Ledger is the first stage: a double-entry ledger per partition. Every completed, refunded and charged back checkout of a
// drop, and every settled payout, becomes one transaction whose postings sum to 0, once, for ever; what cannot be posted is
// parked or refused and published as an exception. A flush publishes both as blocks (event.Ledger) of a hash chain, and
// what each participant has accrued (event.Payable).
//
//	sale        Dr psp_clearing             Cr platform_rev, payable:*, and tax_payable, psp_fee by the drop's split basis
//	refund      Dr what the sale credited   Cr psp_clearing       in proportion to what is outstanding of it
//	chargeback  as a refund, and            Dr dispute_fee        Cr psp_clearing
//	settled     Dr payable:*                Cr payout_clearing
//
// Payouts is the second stage: it adds up what the partitions have accrued to a participant, holds it back as long as the
// policy says, and instructs payment rails (event.Settlement).
//
// All money is int64 in minor units. Money is never normalised to fit: shares that do not sum, refunds above what is
// outstanding, other currencies are refused by name.
package settlement
