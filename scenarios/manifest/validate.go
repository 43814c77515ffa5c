package manifest

import "github.com/palisade-netpol/palisade/model"

func validate(o Object) Errors { return nil }

func validateCluster(c *model.Cluster, objects map[Key]Object) Errors { return nil }
