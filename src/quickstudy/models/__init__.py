"""Plain networks that know nothing of meta-learning. Any other nn.Module serves as well."""

from quickstudy.models.chain import Chain as Chain
from quickstudy.models.choice import Choice as Choice
from quickstudy.models.context import ContextConv4 as ContextConv4
from quickstudy.models.context import FiLM as FiLM
from quickstudy.models.context import WithContext as WithContext
from quickstudy.models.conv4 import Conv4 as Conv4
from quickstudy.models.conv4 import conv4 as conv4
from quickstudy.models.efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from quickstudy.models.lora import LoRA as LoRA
from quickstudy.models.mixed import Mixed as Mixed
from quickstudy.models.mlp import MLP as MLP
from quickstudy.models.mlp import mlp as mlp
from quickstudy.models.read import Read as Read
from quickstudy.models.relation_head import RelationHead as RelationHead
from quickstudy.models.relation_head import relation_head as relation_head
from quickstudy.models.residual_linear import ResidualLinear as ResidualLinear
from quickstudy.models.resnet12 import ResNet12 as ResNet12
from quickstudy.models.resnet12 import resnet12 as resnet12
from quickstudy.models.search_cell import SearchCell as SearchCell
from quickstudy.models.search_cell import search_cell as search_cell
from quickstudy.models.search_cell import search_conv as search_conv
