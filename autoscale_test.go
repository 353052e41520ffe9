package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

// What Kubernetes and KEDA know of these objects, as far as the examples use it: a field that none of them has is an error.
type (
	scaledObject struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
		Spec struct {
			ScaleTargetRef  scaleTarget `yaml:"scaleTargetRef"`
			MinReplicaCount int64       `yaml:"minReplicaCount"`
			MaxReplicaCount int64       `yaml:"maxReplicaCount"`
			PollingInterval int64       `yaml:"pollingInterval"`
			Fallback        struct {
				FailureThreshold int64  `yaml:"failureThreshold"`
				Replicas         int64  `yaml:"replicas"`
				Behavior         string `yaml:"behavior"`
			} `yaml:"fallback"`
			Advanced struct {
				HorizontalPodAutoscalerConfig struct {
					Behavior scaleBehavior `yaml:"behavior"`
				} `yaml:"horizontalPodAutoscalerConfig"`
			} `yaml:"advanced"`
			Triggers []struct {
				Type       string            `yaml:"type"`
				MetricType string            `yaml:"metricType"`
				Metadata   map[string]string `yaml:"metadata"`
			} `yaml:"triggers"`
		} `yaml:"spec"`
	}
	podAutoscaler struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
		Spec struct {
			ScaleTargetRef scaleTarget `yaml:"scaleTargetRef"`
			MinReplicas    int64       `yaml:"minReplicas"`
			MaxReplicas    int64       `yaml:"maxReplicas"`
			Metrics        []struct {
				Type     string `yaml:"type"`
				External struct {
					Metric struct {
						Name string `yaml:"name"`
					} `yaml:"metric"`
					Target struct {
						Type         string `yaml:"type"`
						AverageValue string `yaml:"averageValue"`
					} `yaml:"target"`
				} `yaml:"external"`
			} `yaml:"metrics"`
			Behavior scaleBehavior `yaml:"behavior"`
		} `yaml:"spec"`
	}
	scaleTarget struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Name       string `yaml:"name"`
	}
	scaleBehavior struct {
		ScaleUp   scaleRules `yaml:"scaleUp"`
		ScaleDown scaleRules `yaml:"scaleDown"`
	}
	scaleRules struct {
		StabilizationWindowSeconds *int64 `yaml:"stabilizationWindowSeconds"`
		SelectPolicy               string `yaml:"selectPolicy"`
		Policies                   []struct {
			Type          string `yaml:"type"`
			Value         int64  `yaml:"value"`
			PeriodSeconds int64  `yaml:"periodSeconds"`
		} `yaml:"policies"`
	}
	adapterRules struct {
		ExternalRules []struct {
			SeriesQuery string `yaml:"seriesQuery"`
			Resources   struct {
				Namespaced *bool `yaml:"namespaced"`
			} `yaml:"resources"`
			Name struct {
				As string `yaml:"as"`
			} `yaml:"name"`
			MetricsQuery string `yaml:"metricsQuery"`
		} `yaml:"externalRules"`
	}
)

func example(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("deploy", "autoscale", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(into); err != nil {
		t.Fatalf("%s: %s", name, yaml.FormatError(err, false, true))
	}
}

var seriesName = regexp.MustCompile(`droplift_\w+`)

// The examples have only fields that exist, bound replicas as Droplift does by default, and ask for series that Droplift serves.
func TestAutoscaleExamples(t *testing.T) {
	defaults := parseConfig(t)
	registry := prometheus.NewRegistry()
	newDecisionMetrics(registry).value.WithLabelValues("d", "replicas", "").Set(1)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, family := range families {
		served[family.GetName()] = true
	}
	asks := func(where, query string) {
		t.Helper()
		names := seriesName.FindAllString(query, -1)
		for _, name := range names {
			if !served[name] {
				t.Errorf("%s asks for %s, which is not served", where, name)
			}
		}
		if len(names) == 0 {
			t.Errorf("%s asks for no series: %s", where, query)
		}
	}
	bounds := func(where string, low, high int64) {
		t.Helper()
		if low != defaults.EdgeReplicasMin || high != defaults.EdgeReplicasMax {
			t.Errorf("%s: replicas from %d to %d, Droplift decides from %d to %d", where, low, high, defaults.EdgeReplicasMin, defaults.EdgeReplicasMax)
		}
	}
	behaves := func(where string, b scaleBehavior) {
		t.Helper()
		for _, rules := range []scaleRules{b.ScaleUp, b.ScaleDown} {
			if rules.StabilizationWindowSeconds == nil || *rules.StabilizationWindowSeconds != 0 || len(rules.Policies) == 0 {
				t.Errorf("%s: %+v stabilises what is stabilised already", where, rules)
			}
		}
	}

	var keda scaledObject
	example(t, "keda-scaledobject.yaml", &keda)
	if keda.APIVersion != "keda.sh/v1alpha1" || keda.Kind != "ScaledObject" || keda.Spec.Fallback.Replicas == 0 || len(keda.Spec.Triggers) != 2 {
		t.Errorf("%+v", keda)
	}
	bounds("KEDA", keda.Spec.MinReplicaCount, keda.Spec.MaxReplicaCount)
	behaves("KEDA", keda.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior)
	trigger := keda.Spec.Triggers[0]
	asks("KEDA", trigger.Metadata["query"])
	if trigger.Type != "prometheus" || trigger.MetricType != "AverageValue" || trigger.Metadata["threshold"] != "1" || trigger.Metadata["ignoreNullValues"] != "false" {
		t.Errorf("trigger %+v", trigger)
	}
	if n, err := strconv.Atoi(keda.Spec.Triggers[1].Metadata["desiredReplicas"]); err != nil || n <= 0 {
		t.Errorf("scheduled replicas: %v", err)
	}

	var hpa podAutoscaler
	example(t, "hpa-external-metric.yaml", &hpa)
	if hpa.APIVersion != "autoscaling/v2" || hpa.Kind != "HorizontalPodAutoscaler" || len(hpa.Spec.Metrics) != 1 || hpa.Spec.Metrics[0].Type != "External" ||
		hpa.Spec.Metrics[0].External.Target.Type != "AverageValue" || hpa.Spec.Metrics[0].External.Target.AverageValue != "1" {
		t.Errorf("%+v", hpa)
	}
	bounds("HPA", hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas)
	behaves("HPA", hpa.Spec.Behavior)

	var adapter adapterRules
	example(t, "prometheus-adapter-rule.yaml", &adapter)
	if len(adapter.ExternalRules) != 1 || adapter.ExternalRules[0].Name.As != hpa.Spec.Metrics[0].External.Metric.Name {
		t.Errorf("the adapter serves %+v, the HPA asks for %s", adapter.ExternalRules, hpa.Spec.Metrics[0].External.Metric.Name)
	}
	asks("the adapter", adapter.ExternalRules[0].SeriesQuery)
	asks("the adapter", adapter.ExternalRules[0].MetricsQuery)
}
