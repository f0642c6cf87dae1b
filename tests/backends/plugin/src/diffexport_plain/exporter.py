"""An exporter that traces, as torch's own does, with one option of its own and none of the usual ones but the opset."""

import io

import torch

from diffexport.backends.exporters import Exporter, Written
from diffexport.values import OPTIONS_BY_NAME, ExporterDescription, Option

SCRIPT = """\
def export(model, args):
    buffer = io.BytesIO()
    torch.onnx.export(model, args, buffer, dynamo=False, opset_version={opset}, input_names={names})
    return buffer.getvalue()"""


class PlainTrace(Exporter):
    description = ExporterDescription(
        "plain-trace",
        opsets=tuple(range(13, 21)),
        options=(
            OPTIONS_BY_NAME["opset"],
            Option("producer", "torch", ("torch", "plain"), "whose name the model carries"),
        ),
        cost=0.005,
        ignores_symbolic=False,
    )

    def export(self, request):
        import onnx

        names = [request.terms.input_name(number) for number in range(len(request.call.args))]
        buffer = io.BytesIO()
        torch.onnx.export(
            request.module,
            request.call.args,
            buffer,
            dynamo=False,
            opset_version=request.mode.opset,
            input_names=names,
        )
        proto = onnx.load_model_from_string(buffer.getvalue())
        if request.mode.value("producer") == "plain":
            proto.producer_name = "plain"
        return Written(proto.SerializeToString())

    def script(self, request):
        names = [request.terms.input_name(number) for number in range(len(request.call.args))]
        return SCRIPT.format(opset=request.mode.opset, names=names)


PLAIN_TRACE = PlainTrace()
