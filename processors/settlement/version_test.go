package settlement

import (
	"fmt"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	sold := checkout{
		drop: "d", creator: "c", version: 2, currency: "USD", captured: 4999, returned: 1000,
		parts:   []part{{event.AccountTax, "", 7}, {event.AccountFee, "", 8}, {event.AccountPayable, "a", 1799}, {event.AccountPlatform, Platform, 400}},
		answers: []answered{{event.CheckoutCompleted, "web", 0, 1 << 60}, {event.CheckoutRefunded, "", 3, 5}, {event.CheckoutChargeback, "app", 0, 6}},
	}
	waits := checkout{
		answers: []answered{{event.CheckoutRefunded, "web", 0, 9}, {event.CheckoutSettled, "", 0, 9}},
		parked:  []entry{{event.CheckoutRefunded, "web", 1, "d", "c", 2, "JPY", 10, 1, 2, noon, noon + 1}},
	}
	book := account{asOf: noon, paid: -3, issued: 2, partials: []partial{{"d", 3, 9, noon, -5}, {"e", 0, 1, processors.NoWatermark, 7}}, instructions: []instruction{
		{seq: 1, revision: 2, amount: 5, paid: 4, asOf: noon, status: statusMismatched}, {foreign: "x|USD|1", revision: 1, paid: 9, status: statusUnknown}}}
	check(t, "checkout", checkoutVersion, checkoutCodec{names: n}, checkout{}, sold, waits)
	check(t, "chain", chainVersion, chainCodec{}, chain{height: 7, hash: "00ff"})
	check(t, "accrual", accrualVersion, accrualCodec{}, accrual{amount: -5, revision: 3, due: noon})
	check(t, "list", listVersion, listCodec{}, waitingList{pages: 3, last: 256})
	check(t, "page", pageVersion, pageCodec{}, waitingPage{ids: []string{"k1", "k|2"}})
	check(t, "account", accountVersion, accountCodec{names: n}, account{}, book)
	check(t, "mark", markVersion, markCodec{}, mark{})
}

func check[S any](t *testing.T, name string, version byte, codec processors.Codec[S], states ...S) {
	t.Helper()
	k := statetest.Kind{Name: name, Newest: version, Read: func(data []byte) (string, []byte, error) {
		var s S
		err := codec.Decode(data, &s)
		if err != nil {
			return "", nil, err
		}
		return fmt.Sprintf("%+v", s), codec.Append(nil, &s), nil
	}}
	for i := range states {
		data := codec.Append(nil, &states[i])
		k.Samples = append(k.Samples, data)
		var s S
		for cut := range data {
			if err := codec.Decode(data[:cut], &s); err == nil {
				t.Errorf("%s: the first %d of %d bytes are taken for a state", name, cut, len(data))
			}
		}
		if err := codec.Decode(append(data, 0), &s); err == nil {
			t.Errorf("%s: a byte too many is taken", name)
		}
	}
	statetest.Check(t, k)
}
