package server

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/function"
	"meridian/internal/lifecycle"
)

// edgeFunctions returns the file's edge functions, with their sources.
func edgeFunctions(f *config.File) (out function.Config, err error) {
	for _, name := range slices.Sorted(maps.Keys(f.EdgeFunctions)) {
		e := f.EdgeFunctions[name]
		code, err := os.ReadFile(e.Code)
		if err != nil {
			return out, fmt.Errorf("edge function %s: %w", name, err)
		}
		out.Functions = append(out.Functions, function.Source{Name: name, File: e.Code, Code: code, Runtime: function.Runtime(e.Runtime), Store: e.KVS})
	}
	return out, nil
}

// checkEdgeFunctions runs what stands before the handler of each, as an edge does
// when it starts.
func checkEdgeFunctions(f *config.File) error {
	cfg, err := edgeFunctions(f)
	if err != nil {
		return err
	}
	var errs []error
	for _, src := range cfg.Functions {
		_, err := function.New(function.Config{Functions: []function.Source{src}}, function.Deps{})
		errs = append(errs, f.At("edgeFunctions."+src.Name+".code", err))
	}
	return errors.Join(errs...)
}

func functionsOf(b config.Behavior) edge.Functions {
	if b.Functions == nil {
		return edge.Functions{}
	}
	f := *b.Functions
	return edge.Functions{ViewerRequest: f.ViewerRequest, ViewerResponse: f.ViewerResponse, OriginRequest: f.OriginRequest, OriginResponse: f.OriginResponse}
}

// lanes returns where functions may send requests.
func lanes(f *config.File) (out edge.Lanes, err error) {
	for _, n := range f.DynamicOrigins.Allow {
		if p, err := netip.ParsePrefix(n); err == nil { // checked with the file
			out.Allow = append(out.Allow, p)
		}
	}
	for i, s := range f.DynamicOrigins.Sign {
		keys, err := credentials.NewFileAWSCredentials(s.Credentials, "default").GetWithContext(nil)
		if err == nil && (keys.AccessKeyID == "" || keys.SecretAccessKey == "") {
			err = errors.New("there is no aws_access_key_id with an aws_secret_access_key in [default]")
		}
		if err != nil {
			err = fmt.Errorf("%s: %s; expected a file as ~/.aws/credentials is", s.Credentials, strings.TrimSpace(err.Error()))
			return out, f.At(fmt.Sprintf("dynamicOrigins.sign[%d].credentials", i), err)
		}
		out.Signers = append(out.Signers, edge.Signer{
			Hosts: s.Hosts, Methods: s.Methods, Region: s.Region, AccessKey: keys.AccessKeyID, Secret: keys.SecretAccessKey, Session: keys.SessionToken,
		})
	}
	return out, nil
}

// addKVS adds this node's part in key-value stores, once.
func (n *node) addKVS(g *lifecycle.Group) (*kvs, error) {
	if n.kvs != nil {
		return n.kvs, nil
	}
	k, err := newKVS(n.file, inStore{n.store}, n.log)
	if err != nil {
		return nil, err
	}
	g.Add("key-value stores", k.run)
	n.takes("key-value stores", storeRules, k.prepare)
	n.reloads.read = contents(n.file)
	n.kvs = k
	return k, nil
}
