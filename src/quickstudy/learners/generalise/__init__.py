"""Learners for domains that were never seen: trained across domains, they answer without a support."""

from quickstudy.learners.generalise.domain_descent import DomainDescent as DomainDescent
from quickstudy.learners.generalise.feature_critic import FeatureCritic as FeatureCritic
from quickstudy.learners.generalise.group_dro import GroupDRO as GroupDRO
from quickstudy.learners.generalise.meta_reg import MetaReg as MetaReg
from quickstudy.learners.generalise.without_support import WithoutSupport as WithoutSupport
