package event

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/bojanz/currency"
	"github.com/google/uuid"
)

// A destination holds one record of any kind behind one interface, so that a
// test can run over all kinds.
type destination struct {
	kind   Kind
	record any // *Event, *Features, ...
	decode func(d *Decoder, data []byte) *Error
	append func(dst []byte) []byte
}

func newDestination(kind Kind) destination {
	switch kind {
	case KindFeatures:
		v := new(Features)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Features(data, v) }, v.AppendJSON}
	case KindVelocity:
		v := new(Velocity)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Velocity(data, v) }, v.AppendJSON}
	case KindDeadLetter:
		v := new(DeadLetter)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.DeadLetter(data, v) }, v.AppendJSON}
	case KindLate:
		v := new(Late)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Late(data, v) }, v.AppendJSON}
	case KindEstimate:
		v := new(Estimate)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Estimate(data, v) }, v.AppendJSON}
	case KindProgress:
		v := new(Progress)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Progress(data, v) }, v.AppendJSON}
	case KindDecision:
		v := new(Decision)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Decision(data, v) }, v.AppendJSON}
	case KindInventory:
		v := new(Inventory)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Inventory(data, v) }, v.AppendJSON}
	case KindAttribution:
		v := new(Attribution)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Attribution(data, v) }, v.AppendJSON}
	case KindLatencySketch:
		v := new(LatencySketch)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.LatencySketch(data, v) }, v.AppendJSON}
	case KindLocalization:
		v := new(Localization)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Localization(data, v) }, v.AppendJSON}
	case KindLedger:
		v := new(Ledger)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Ledger(data, v) }, v.AppendJSON}
	case KindPayable:
		v := new(Payable)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Payable(data, v) }, v.AppendJSON}
	case KindSettlement:
		v := new(Settlement)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Settlement(data, v) }, v.AppendJSON}
	case KindEdgeCost:
		v := new(EdgeCost)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.EdgeCost(data, v) }, v.AppendJSON}
	case KindExperimentArm:
		v := new(ExperimentArm)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.ExperimentArm(data, v) }, v.AppendJSON}
	case KindExample:
		v := new(Example)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Example(data, v) }, v.AppendJSON}
	case KindModel:
		v := new(Model)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Model(data, v) }, v.AppendJSON}
	case KindRollout:
		v := new(Rollout)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Rollout(data, v) }, v.AppendJSON}
	case KindLifetime:
		v := new(Lifetime)
		return destination{kind, v, func(d *Decoder, data []byte) *Error { return d.Lifetime(data, v) }, v.AppendJSON}
	}
	v := new(Event)
	v.Reset(kind)
	return destination{kind, v,
		func(d *Decoder, data []byte) *Error { return d.Decode(kind, data, v) },
		func(dst []byte) []byte { return Append(dst, v) }}
}

// parts are the structs of a record whose fields stand side by side in its JSON object.
func (t destination) parts() []reflect.Value {
	v := reflect.ValueOf(t.record).Elem()
	if t.kind.Raw() {
		payload := strings.ToUpper(t.kind.String()[:1]) + t.kind.String()[1:]
		return []reflect.Value{v.FieldByName("Envelope"), v.FieldByName(payload)}
	}
	return []reflect.Value{v}
}

// samples hold one full record of each kind, as the encoder writes it.
var samples = map[Kind]string{
	KindPlayer: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4","type":"offer_click","event_time":1760000012345,"ingest_time":1760000012411,` +
		`"player_id":"p-7f3a9c1e52d84b06","session_id":"s-01979a6e4f0275c1","drop_id":"drop-aurora-2025w41","creator_id":"creator-00417",` +
		`"region":"DE","pop":"fra2","language":"de-DE","consent":7,"heartbeat_ms":30000,"sku":"aurora-print-signed-a2","experiment_id":"cta-de","variant":"b"}`,
	KindLatency: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d5","type":"edge_request","event_time":1760000012345,"ingest_time":1760000012411,` +
		`"player_id":"p-7f3a9c1e52d84b06","session_id":"s-01979a6e4f0275c1","drop_id":"drop-aurora-2025w41","region":"DE","pop":"fra2",` +
		`"sample_rate":0.1,"request":"landing","ms":183.25,"cache":"hit","cpu_ms":1.75,"egress_bytes":48211}`,
	KindCheckout: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d6","type":"refunded","event_time":1760000012345,"ingest_time":1760000012411,` +
		`"player_id":"p-7f3a9c1e52d84b06","session_id":"s-01979a6e4f0275c1","drop_id":"drop-aurora-2025w41","creator_id":"creator-00417",` +
		`"region":"DE","pop":"fra2","language":"de-DE","consent":7,"checkout_id":"co-01979a6e5b1b7a02","amount":4999,"currency":"EUR",` +
		`"sku":"aurora-print-signed-a2","quantity":2,"split_version":3,"original_time":1759999912345,"channel":"app","reason":"customer request"}`,
	KindSubtitle: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d7","type":"cue","event_time":1760000012345,"drop_id":"drop-aurora-2025w41",` +
		`"stream_id":"premiere-1","cue_id":8812,"speech_start_ms":5400120,"display_ms":5403420,"on_screen_ms":2600,"graphemes":57,"words":11,` +
		`"translation_ms":840,"source_language":"en","target_language":"fr","variant":"a"}`,
	KindDrop: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d8","type":"catalogue","event_time":1760000012345,"drop_id":"drop-aurora-2025w41",` +
		`"creator_id":"creator-00417","name":"Aurora","version":4,"start_ms":1760000000000,"end_ms":1760172800000,` +
		`"splits":[{"version":1,"shares":[{"participant":"creator-00417","bps":8500},{"participant":"platform","bps":1500}]},` +
		`{"version":2,"shares":[{"participant":"creator-00417","bps":10000}]}],` +
		`"items":[{"sku":"aurora-print-signed-a2","price":4999,"currency":"EUR","inventory":500},{"sku":"aurora-loop","price":900,"currency":"EUR"}],` +
		`"budget":250000000000,"budget_currency":"EUR","experiments":[{"id":"cta-de","salt":"v1","traffic_bps":10000,` +
		`"variants":[{"name":"a","bps":5000},{"name":"b","bps":5000}]}],"latency_budget_ms":300,"cue_latency_ms":4500}`,
	KindFeatures: `{"player_id":"p-7f3a9c1e52d84b06","revision":12,"as_of":1760000012346,"watermark":1760000002344,"maturity":"provisional",` +
		`"sessions":[1,2,5,9],"active_days":[1,1,4,8],"playtime_s":[310,2230,9120,20015],"landings":[2,3,3,3],"impressions":[4,9,9,9],"clicks":[1,1,1,1],` +
		`"checkouts":[1,1,1,2],"net_spend":[4999,4999,4999,-100],"creators":[1,1,2,2],"drops":[1,1,1,2],"latency_mean_ms":[181.5,190.25,-1,-1],` +
		`"latency_max_ms":[240,410.5,-1,-1],"spend_currency":"EUR","foreign_checkouts":1,"first_activity":1757600000000,"last_activity":1760000012345,` +
		`"sessions_total":31,"gap_mean_s":40120.5,"gap_var_s2":1250000.125}`,
	KindVelocity: `{"drop_id":"drop-aurora-2025w41","pop":"fra2","partition":7,"pane_start":1760000010000,"pane_ms":10000,"revision":3,` +
		`"watermark":-1,"maturity":"final","events":[120,110,40,12,9],"players":[100,90,33,10,8],"funnel_gap":2,"failed":1,"refunded":1,"chargeback":1,` +
		`"conversions":9,"time_to_convert":[{"count":2},{"panes":3,"count":6}],"money":[{"currency":"EUR","gross":44991,"refunds":4999},` +
		`{"currency":"USD","gross":900,"chargebacks":900}]}`,
	KindDeadLetter: `{"topic":"checkout","partition":3,"offset":99120,"timestamp":1760000012500,"class":"amount_precision","field":"amount",` +
		`"key":"cC03ZjNh","value":"eyJpZCI6IjAifQ=="}`,
	KindLate: `{"topic":"player","partition":3,"offset":99121,"timestamp":1760000012500,"event_time":1759999000000,"late_by_ms":402500,` +
		`"drop_id":"drop-aurora-2025w41","value":"eyJpZCI6IjAifQ=="}`,
	KindEstimate: `{"drop_id":"drop-aurora-2025w41","creator_id":"creator-00417","metric":"experiment_effect","dimensions":[{"name":"language","value":"de"},` +
		`{"name":"variant","value":"b"}],"revision":31,"as_of":1760000012345,"from":1760000000000,"to":1760172800000,"maturity":"final",` +
		`"grade":"randomized_itt","label":"caused","enough":true,"why":"none","unit":"pp","n":20000,"numerator":870,"value":0.7,"low":-0.178,"high":1.578,` +
		`"confidence":0.95,"p":0.23798,"always_valid":true,"sample_rate":0.5,"details":[{"name":"se","value":0.29}]}`,
	KindDecision: `{"drop_id":"drop-aurora-2025w41","topic":"budget","subject":"fra2","at":1760000012345,"chosen":"cap","previous":"warn","value":66,` +
		`"reason":"spent and reserved reach 95 % of the budget","inputs":[{"name":"spent","value":480000000000}]}`,
	KindProgress: `{"partition":3,"watermark":1760000002344,"idle":true}`,
	KindInventory: `{"drop_id":"drop-aurora-2025w41","sku":"aurora-print-signed-a2","channel":"pos","partner":"corner-shop","partition":7,` +
		`"pane_start":1760000010000,"pane_ms":10000,"revision":3,"watermark":-1,"maturity":"final","sold":5,"reserved":7,"released":4,"expired":2,` +
		`"returned":1,"checkouts":3,"promised":3,"shipped":1,"fulfilled":2,"cancelled":1,"due":2,"late":1}`,
	KindAttribution: `{"drop_id":"drop-aurora-2025w41","creator_id":"creator-00417","pop":"fra2","device":"phone","language":"de-DE","age_from":300000,` +
		`"age_to":600000,"partition":7,"revision":3,"watermark":1760000012345,"maturity":"final","closed":true,"from":1760000000000,"to":1760172800000,` +
		`"budget_ms":250,"sample_rate":0.1,"viewers":[1,2,3,4,5,6,7,8,9,10,11,12],"conversions":[0,1,0,1,0,1,0,1,0,1,0,1],` +
		`"latency_us":[40000,150000,1,2,3,4,5,6,7,8,9,1],"unmeasured":2,"unmeasured_conversions":1,` +
		`"money":[{"currency":"EUR","net":[4999,0,0,0,0,0,-100,0,0,0,0,9]}]}`,
	KindLatencySketch: `{"drop_id":"drop-aurora-2025w41","pop":"fra2","request":"landing","partition":7,"pane_start":1760000040000,` +
		`"pane_ms":60000,"revision":3,"watermark":-1,"maturity":"final","sample_rate":0.1,"accuracy":0.01,"samples":4,"zero":1000,` +
		`"bins":[{"index":-3,"weight":10000},{"index":124,"weight":1000}]}`,
	KindLocalization: `{"drop_id":"drop-aurora-2025w41","language":"fr","same_language":true,"partition":7,"pane_start":1760000010000,"pane_ms":15000,` +
		`"revision":3,"watermark":-1,"maturity":"final","expected":9,"good":3,"stretch":2,"missing":2,"unreported":1,"slow":1,"brief":1,"long":1,` +
		`"dense":1,"wordy":1,"early":1,"latency_sum_ms":135120,"latency_zero":1,"latency_bins":[{"index":-3,"count":1},{"index":401,"count":6}],` +
		`"translated":5,"translation_sum_ms":4200,"translation_bins":[{"index":336,"count":5}]}`,
	KindLedger: `{"partition":3,"height":41,"previous":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",` +
		`"hash":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752","posted_at":1760000012500,` +
		`"transactions":[{"source":"app","checkout_id":"co-01979a6e5b1b7a02","type":"completed","seq":1,"drop_id":"drop-aurora-2025w41",` +
		`"creator_id":"creator-00417","split_version":3,"currency":"EUR","amount":4999,"event_time":1760000012345,"ingest_time":1760000012411,` +
		`"postings":[{"account":"psp_clearing","amount":4999},{"account":"payable","participant":"creator-00417","amount":-4999}]}],` +
		`"exceptions":[{"outcome":"excess","source":"app","checkout_id":"co-01979a6e5b1b7a02","type":"refunded","seq":2,"drop_id":"drop-aurora-2025w41",` +
		`"currency":"EUR","amount":5000,"event_time":1760000012346,"ingest_time":1760000012412,"detail":"4999 of 4999 are left"}]}`,
	KindPayable: `{"participant":"creator-00417","currency":"EUR","drop_id":"drop-aurora-2025w41","partition":3,"revision":41,"watermark":1760000002344,` +
		`"accrued":-4999,"instruction":"creator-00417|EUR|1","paid":4999,"seq":1}`,
	KindSettlement: `{"id":"creator-00417|EUR|1","participant":"creator-00417","currency":"EUR","seq":1,"revision":2,"status":"settled","amount":4499,` +
		`"psp_amount":4499,"psp_exponent":2,"paid":4499,"as_of":1760000002344}`,
	KindEdgeCost: `{"drop_id":"drop-aurora-2025w41","pop":"fra2","creator_id":"creator-00417","partition":7,"pane_start":1760000040000,"pane_ms":60000,` +
		`"synthetic":true,"revision":4,"watermark":1760000052344,"maturity":"provisional","newest":1760000062345,"samples":1200,"sample_rate":0.1,` +
		`"requests_micro":12000000000,"cpu_us":144000000,"egress_bytes":578532000,"conversions":3,"currency":"EUR","prices":"5f2ac1d09be4","cost":6480000}`,
	KindExperimentArm: `{"drop_id":"drop-aurora-2025w41","experiment_id":"cta-de","variant":"b","language":"de-DE","partition":7,"revision":12,` +
		`"watermark":-1,"maturity":"final","refund_maturity":"provisional","design":"9f3a1c7be02d4456","changed":true,"exposed":10000,"converted":470,` +
		`"refunded":18,"crossed":3,"misassigned":2,"sample_rate":0.5}`,
	KindScore: `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d9","type":"answered","event_time":1760000012345,"ingest_time":1760000012346,` +
		`"player_id":"p-7f3a9c1e52d84b06","drop_id":"drop-aurora-2025w41","creator_id":"creator-00417","pop":"fra2","consent":3,"model":"churn",` +
		`"model_version":"churn-20251009-1f2e","feature_hash":"9f86d081884c7d65","feature_revision":12,"feature_as_of":1760000012000,"vector":[1,2,-1,0.5],` +
		`"p":0.265,"shadow_version":"churn-20251010-77aa","shadow_p":0.25,"champion_us":0.75,"shadow_us":21.5,"offer":"aurora-loop","discount":1500,` +
		`"propensity":0.4,"holdout":true,"eligible":true,"prefetch":5}`,
	KindExample: `{"model":"churn","model_version":"churn-20251009-1f2e","player_id":"p-7f3a9c1e52d84b06","scored_at":1760000012345,` +
		`"drop_id":"drop-aurora-2025w41","partition":7,"watermark":1762000012345,"churned":true,"label_from":1760000312345,"label_to":1761209912345,` +
		`"feature_hash":"9f86d081884c7d65","vector":[1,2,-1,0.5],"p":0.265,"shadow_version":"churn-20251010-77aa","shadow_p":0.25,"offer":"aurora-loop",` +
		`"discount":1500,"propensity":0.4,"holdout":true,"eligible":true,"converted":true,"net":-100,"currency":"EUR"}`,
	KindModel: `{"name":"churn","version":"churn-20251009-1f2e","kind":"logistic","published_at":1760000012345,"feature_hash":"9f86d081884c7d65",` +
		`"checksum":"60303ae22b998861","artefact":"H4sIAAAA"}`,
	KindRollout: `{"name":"churn","champion":"churn-20251010-77aa","shadow":"churn-20251011-0b0b","previous":"churn-20251009-1f2e","action":"promote",` +
		`"at":1760000012345,"reason":"passed every gate"}`,
	KindLifetime: `{"model":"bgbb","fit":"bgbb-20251009","player_id":"p-7f3a9c1e52d84b06","creator_id":"creator-00417","currency":"EUR",` +
		`"revision":1760000012345,"as_of":1760000000000,"first_purchase":1750000000000,"repeats":2,"last_repeat":4,"age":6,"horizon":8,"p_alive":0.5895,` +
		`"purchases":1.25,"mean_spend":2466.37,"value":3000.5}`,
}

func TestSamplesAreCanonical(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			to := newDestination(kind)
			if err := to.decode(new(Decoder), []byte(samples[kind])); err != nil {
				t.Fatal(err)
			}
			if got := string(to.append(nil)); got != samples[kind] {
				t.Errorf("decoded and encoded again:\n%s\nwant\n%s", got, samples[kind])
			}
		})
	}
}

// newRand makes a generator whose seed is printed.
func newRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// fill sets every field of a record to a random value that its rules allow.
func fill(r *rand.Rand, to destination) {
	for _, part := range to.parts() {
		fillStruct(r, to.kind, part)
	}
	if ev, ok := to.record.(*Event); ok && to.kind == KindDrop {
		ev.Drop.EndMS = ev.Drop.StartMS + 1 + r.Int64N(math.MaxInt64-ev.Drop.StartMS)
	}
}

func fillStruct(r *rand.Rand, kind Kind, v reflect.Value) {
	for i := range v.NumField() {
		rule := ruleOf(v.Type().Field(i))
		required := rule.has("required") || rule.has("complete") || strings.Contains(rule["required"], kind.String())
		if !required && r.IntN(3) == 0 {
			// Left at the default.
			if standard, ok := rule["default"]; ok {
				n, _ := strconv.ParseFloat(standard, 64)
				v.Field(i).Set(reflect.ValueOf(n).Convert(v.Field(i).Type()))
			}
			continue
		}
		v.Field(i).Set(value(r, kind, v.Field(i).Type(), rule, required))
	}
}

// rule is a parsed rule tag.
type rule map[string]string

func (r rule) has(name string) bool {
	argument, ok := r[name]
	return ok && argument == ""
}

func (r rule) number(name string, otherwise float64) float64 {
	if n, err := strconv.ParseFloat(r[name], 64); err == nil {
		return n
	}
	return otherwise
}

func ruleOf(f reflect.StructField) rule {
	parsed := rule{}
	for item := range strings.SplitSeq(f.Tag.Get("rule"), ";") {
		name, argument, _ := strings.Cut(item, "=")
		parsed[name] = argument
	}
	return parsed
}

func value(r *rand.Rand, kind Kind, typ reflect.Type, rule rule, required bool) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ {
	case reflect.TypeFor[uuid.UUID]():
		var id uuid.UUID
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		v.Set(reflect.ValueOf(id))
		return v
	case reflect.TypeFor[Type]():
		return reflect.ValueOf(kind.Types()[r.IntN(len(kind.Types()))])
	case reflect.TypeFor[Request]():
		return reflect.ValueOf(Requests()[r.IntN(len(Requests()))])
	case reflect.TypeFor[CacheStatus]():
		return reflect.ValueOf(CacheStatuses()[r.IntN(len(CacheStatuses()))])
	case reflect.TypeFor[Maturity]():
		return reflect.ValueOf(Maturities()[r.IntN(len(Maturities()))])
	case reflect.TypeFor[Grade]():
		return reflect.ValueOf(Grades()[r.IntN(len(Grades()))])
	case reflect.TypeFor[SplitBasis]():
		return reflect.ValueOf(SplitBases()[r.IntN(len(SplitBases()))])
	case reflect.TypeFor[Reason]():
		return reflect.ValueOf(Reasons()[r.IntN(len(Reasons()))])
	}
	switch typ.Kind() {
	case reflect.String:
		if rule.has("currency") {
			codes := currency.GetCurrencyCodes()
			v.SetString(codes[r.IntN(len(codes))])
			break
		}
		for v.SetString(text(r)); required && v.Len() == 0; {
			v.SetString(text(r))
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		low, high := rule.number("min", -math.MaxFloat64), rule.number("max", math.MaxFloat64)
		for v.SetFloat(float(r)); v.Float() < low || v.Float() > high || v.Float() <= rule.number("above", math.Inf(-1)); {
			v.SetFloat(float(r))
		}
	case reflect.Int32, reflect.Int64:
		for ok := false; !ok; {
			// Any number of bits is as likely as any other.
			n := int64(r.Uint64() >> r.IntN(64))
			if r.IntN(4) == 0 {
				n = -n
			}
			ok = float64(n) >= rule.number("min", math.MinInt64) && float64(n) <= rule.number("max", math.MaxInt64) && !v.OverflowInt(n)
			v.SetInt(n)
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		for ok := false; !ok; {
			n := r.Uint64() >> r.IntN(64)
			ok = float64(n) >= rule.number("min", 0) && float64(n) <= rule.number("max", math.MaxUint64) && !v.OverflowUint(n)
			v.SetUint(n)
		}
	case reflect.Array:
		for i := range typ.Len() {
			v.Index(i).Set(value(r, kind, typ.Elem(), rule, false))
		}
	case reflect.Slice:
		n := r.IntN(4)
		if n == 0 && typ.Elem() != reflect.TypeFor[Share]() {
			break // nil, as decoding nothing leaves it
		}
		if typ.Elem() == reflect.TypeFor[Share]() {
			v.Set(reflect.ValueOf(shares(r)))
			break
		}
		for range n {
			element := reflect.New(typ.Elem()).Elem()
			if element.Kind() == reflect.Struct {
				fillStruct(r, kind, element)
			} else {
				element = value(r, kind, typ.Elem(), rule, false)
			}
			v.Set(reflect.Append(v, element))
		}
	default:
		panic(fmt.Sprintf("no values for %s", typ))
	}
	return v
}

// shares sum to 10,000 basis points.
func shares(r *rand.Rand) []Share {
	var list []Share
	for left := uint32(10_000); left > 0; {
		bps := min(left, 1+r.Uint32N(10_000))
		list = append(list, Share{Participant: fmt.Sprintf("%s%d", text(r), len(list)), BPS: bps})
		left -= bps
	}
	return list
}

func float(r *rand.Rand) float64 {
	switch r.IntN(5) {
	case 0:
		return float64(r.IntN(2000) - 1000)
	case 1:
		return r.Float64()
	case 2:
		return float64(r.IntN(1e9)) / 1000
	case 3:
		return r.NormFloat64() * math.Pow(10, float64(r.IntN(40)-20))
	}
	for {
		if f := math.Float64frombits(r.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
}

// text is a string of up to MaxTextBytes: mostly identifiers, sometimes anything.
func text(r *rand.Rand) string {
	alphabet := []rune("abcdefghijklmnopqrstuvwxyz0123456789-_.")
	if r.IntN(3) == 0 {
		alphabet = []rune("ab\"\\/\b\f\n\r\t\x00\x1f\x7f é€\u2028\ufffd😀𐍈<>&")
	}
	n := r.IntN(30)
	if r.IntN(20) == 0 {
		n = r.IntN(MaxTextBytes/4 + 1)
	}
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}
